"""`import orchestrator` is instant and shows a few names."""

import subprocess
import sys

import orchestrator


def test_the_package_shows_these_names() -> None:
    names = {"SearchResult", "Sweep", "Trial", "__version__", "events", "load", "score", "search", "simulate", "sweep"}

    assert set(orchestrator.__all__) == set(dir(orchestrator)) == names
    assert all(hasattr(orchestrator, name) for name in names)


def test_commands_stay_functions_whatever_else_is_imported() -> None:
    code = """
import orchestrator.sweeps.ledger, orchestrator.optimiser.space, orchestrator.lab.search
print(callable(orchestrator.simulate), callable(orchestrator.sweep), callable(orchestrator.search))
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert result.stdout.strip() == "True True True"


def test_events_and_score_have_public_homes_and_the_old_ones() -> None:
    from orchestrator.analysis.trial.score import score
    from orchestrator.model.events import NodeEvent

    assert orchestrator.score.score is score
    assert orchestrator.events.NodeEvent is NodeEvent


def test_another_name_is_no_attribute() -> None:
    assert not hasattr(orchestrator, "unload")


def test_importing_the_package_loads_nothing_of_others() -> None:
    heavy = ["ray", "sqlalchemy", "pydantic", "polars", "typer", "orchestrator.api"]
    code = f"import sys, orchestrator; print([m for m in {heavy} if m in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert result.stdout.strip() == "[]"


def test_loading_a_sweep_needs_no_ray_and_polars_only_for_frames() -> None:
    code = "import sys, orchestrator; orchestrator.load; print([m for m in ['ray', 'polars'] if m in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert result.stdout.strip() == "[]"


def test_importing_the_package_takes_less_than_a_tenth_of_a_second_of_a_processor() -> None:
    code = "import time; begin = time.process_time(); import orchestrator; print(time.process_time() - begin)"
    command = [sys.executable, "-c", code]
    took = [float(subprocess.run(command, capture_output=True, text=True, check=True).stdout) for _ in range(3)]

    assert min(took) < 0.1
