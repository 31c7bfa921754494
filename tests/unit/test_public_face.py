"""`import orchestrator` is instant and shows a few names."""

import subprocess
import sys

import orchestrator


def test_the_package_shows_these_names() -> None:
    assert orchestrator.__all__ == ["Sweep", "Trial", "__version__", "load"]
    assert all(hasattr(orchestrator, name) for name in orchestrator.__all__)


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
