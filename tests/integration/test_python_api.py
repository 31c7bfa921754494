"""The Python API on simulated sweeps. The pages of docs/ with Python are run cell by cell and show their output."""

import ast
import contextlib
import io
import json
import os
import pprint
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, get_args

import pytest

import orchestrator
from orchestrator.api.results import SweepPlot, TrialPlot
from orchestrator.errors import InputError, UnknownId
from orchestrator.model.events import TaskEvent
from tests.support.orchestrate_command import Orchestrate

pytestmark = pytest.mark.quick

DOCS = Path(__file__).parents[2] / "docs"
CELL = re.compile(r"```python\n(.*?)```\n(?:\n?```text\n(.*?)```)?", re.DOTALL)
SWEEP_ID = "3f2a90c1"


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Orchestrate:
    """The sweep of docs/python.md."""
    command = Orchestrate(tmp_path_factory.mktemp("simulated"))
    (line,) = re.findall(r"^orchestrate (simulate .*)$", (DOCS / "python.md").read_text(), re.MULTILINE)
    assert command(*line.split()).returncode == 0
    return command


def run_cells(page: str) -> None:
    """Run the cells of a page in one namespace, and compare their output with what the page shows."""
    cells = CELL.findall((DOCS / page).read_text())
    names: dict[str, Any] = {}
    assert len(cells) > 5
    for source, shown in cells:
        assert output_of(source, names) == shown.rstrip("\n"), source


def output_of(source: str, names: dict[str, Any]) -> str:
    """Return what a notebook would show below a cell, with the id of a new sweep replaced."""
    body = ast.parse(source).body
    printed, value = io.StringIO(), None
    with contextlib.redirect_stdout(printed):
        if isinstance(body[-1], ast.Expr):
            exec(compile(ast.Module(body[:-1], []), "cell", "exec"), names)
            value = eval(compile(ast.Expression(body[-1].value), "cell", "eval"), names)
        else:
            exec(compile(source, "cell", "exec"), names)
    text = printed.getvalue() + ("" if value is None else pprint.pformat(value, width=140, sort_dicts=False))
    sweep = names.get("sweep")
    return (text if sweep is None else text.replace(sweep.sweep_id, SWEEP_ID)).rstrip("\n")


def test_the_page_on_results_shows_what_its_cells_give(simulated: Orchestrate, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORCHESTRATE_HOME", str(simulated.home))
    monkeypatch.delenv("ORCHESTRATE_LEDGER", raising=False)
    run_cells("python.md")


def test_the_page_on_notebooks_shows_what_its_cells_give(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORCHESTRATE_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("ORCHESTRATE_LEDGER", raising=False)
    run_cells("notebook.md")


def test_a_sweep_and_its_trials_say_what_they_are(simulated: Orchestrate) -> None:
    sweep = orchestrator.load(home=simulated.home)

    assert repr(sweep) == f"<Sweep {sweep.sweep_id} (simulated): done, 4 trials, 4 valid>"
    assert repr(sweep.trials[3]) == "<Trial 2efd07c20976 (v2 speed=10 idle=5): done, makespan 582.5 s>"


def test_a_trials_id_gives_its_sweep_with_this_trial_only(simulated: Orchestrate) -> None:
    sweep = orchestrator.load("2efd", home=simulated.home)

    assert [trial.trial_id for trial in sweep.trials] == ["2efd07c20976"]
    assert sweep.frame["trial_id"].to_list() == ["2efd07c20976"]
    assert set(sweep.nodes["trial_id"]) == {"2efd07c20976"}


def test_what_was_read_is_kept(simulated: Orchestrate) -> None:
    sweep = orchestrator.load(home=simulated.home)

    assert sweep.nodes is sweep.nodes
    assert sweep.frame is sweep.frame
    assert sweep.trials[0].trace is sweep.trials[0].trace


def test_frames_and_typed_events_tell_the_same(simulated: Orchestrate) -> None:
    sweep = orchestrator.load(home=simulated.home)
    trial = sweep.trials[1]
    tasks = sum(event.count for event in trial.trace.events if isinstance(event, TaskEvent))

    assert sweep.tasks.filter(trial_id=trial.trial_id)["count"].sum() == tasks == 512
    assert sweep.nodes.filter(trial_id=trial.trial_id)["node"].to_list() == [life.node for life in trial.nodes]
    assert sweep.nodes.filter("launched").height == sweep.frame["launches"].sum()
    assert trial.scorecard is not None
    assert trial.scorecard.launch_s["all"]["install"] == trial.time_spent.all["install"]


def test_a_ledger_elsewhere(simulated: Orchestrate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"sqlite:///{simulated.home / 'ledger.db'}"
    monkeypatch.chdir(tmp_path)

    assert len(orchestrator.load(ledger=url).trials) == 4
    monkeypatch.setenv("ORCHESTRATE_LEDGER", url)
    assert len(orchestrator.load().trials) == 4
    with pytest.raises(InputError, match="no sweeps are kept in"):
        orchestrator.load(home=tmp_path)
    assert os.listdir(tmp_path) == []


def test_an_unknown_id_is_an_error(simulated: Orchestrate) -> None:
    with pytest.raises(UnknownId, match="no sweep or trial begins with 'f00'"):
        orchestrator.load("f00", home=simulated.home)


def test_a_trial_without_a_trace_says_so(orchestrate: Orchestrate) -> None:
    assert orchestrate("simulate", "--tasks", "16").returncode == 0
    sweep = orchestrator.load(home=orchestrate.home)
    Path(sweep.trials[0].record.trace).unlink()

    with pytest.raises(InputError, match="has no trace"):
        _ = sweep.trials[0].trace
    assert (sweep.frame.height, sweep.nodes.height) == (1, 0)


# Sweeps and searches from Python

SMALL: dict[str, Any] = {"tasks": 16, "seconds": 10, "progress": False}


def test_a_simulation_is_the_sweep_that_load_gives(tmp_path: Path) -> None:
    sweep = orchestrator.simulate(upscaling_speed=range(1, 3), home=tmp_path, **SMALL)

    assert [trial.settings.upscaling_speed for trial in sweep.trials] == [1.0, 2.0]
    assert orchestrator.load(home=tmp_path).frame.equals(sweep.frame)
    assert type(sweep) is orchestrator.Sweep


def test_a_simulation_has_the_trials_of_the_command(orchestrate: Orchestrate, tmp_path: Path) -> None:
    options = ("--upscaling-speed", "1,10", "--tasks", "16", "--task-seconds", "10", "--repeat", "2", "--json", "-")
    document = json.loads(orchestrate("simulate", *options).stdout)
    sweep = orchestrator.simulate(upscaling_speed=[1, 10], repeat=2, home=tmp_path, **SMALL)

    assert [trial.trial_id for trial in sweep.trials] == [trial["trial_id"] for trial in document["trials"]]


def test_arguments_override_a_spec_file(tmp_path: Path) -> None:
    spec = tmp_path / "sweep.yaml"
    spec.write_text("settings: {upscaling_speed: [1, 2, 3]}\nworkload: {tasks: 16, seconds: 10}\n")
    sweep = orchestrator.simulate(spec=spec, upscaling_speed=5, home=tmp_path / "home", progress=False)

    assert [trial.settings.upscaling_speed for trial in sweep.trials] == [5.0]
    assert sweep.trials[0].record.trial.workload.tasks == 16


def test_a_failed_trial_is_a_result_and_no_exception(tmp_path: Path) -> None:
    sweep = orchestrator.simulate(timeout_s=1, home=tmp_path, **SMALL)

    assert sweep.record.status == "failed"
    with pytest.raises(InputError, match="no valid trial to plot"):
        sweep.plot()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"upscaling_sped": 1}, "a sweep has no parameter 'upscaling_sped'"),
        ({"upscaling_speed": 0}, "upscaling_speed"),
        ({"backend": "docker"}, "simulate runs on the simulated backend, not on docker"),
        ({"spec": "nowhere.yaml"}, "nowhere.yaml"),
        ({"parallel": 0}, "--parallel"),
    ],
)
def test_bad_arguments_raise_our_errors_and_write_nothing(
    arguments: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=message):
        orchestrator.simulate(home=tmp_path / "home", **arguments)

    assert not (tmp_path / "home").exists()


def test_a_search_gives_settings_rows_and_a_figure(tmp_path: Path) -> None:
    found = orchestrator.search(
        "cost", candidates=4, repeat=1, idle_timeout_minutes=[1, 5], home=tmp_path / "home", **SMALL
    )

    assert found.best.idle_timeout_minutes is not None
    assert found.frame["role"].to_list()[:2] == ["reference", "best"]
    assert found.frame["objective"][1] <= found.frame["objective"][0]
    assert str(found).splitlines()[1].startswith("reference ")
    assert "<table>" in found._repr_html_()
    assert found.plot().layout.title.text == "Makespan against cost"
    assert (tmp_path / "home" / "searches.db").is_file()
    with pytest.raises(InputError, match="objective: column 1: unknown name 'cots'"):
        orchestrator.search("cots")
    with pytest.raises(InputError, match="candidates: 0 isn't between"):
        orchestrator.search(candidates=0)


def test_results_show_themselves_in_a_notebook(simulated: Orchestrate) -> None:
    sweep = orchestrator.load(home=simulated.home)
    trial = sweep.trials[0]

    assert sweep._repr_html_().count("<tr>") == 1 + 4
    assert trial.trial_id in trial._repr_html_()
    assert "makespan s" in str(sweep)
    assert all(sweep.plot(kind).data for kind in get_args(SweepPlot))
    assert all(trial.plot(kind).layout.height > 100 for kind in get_args(TrialPlot))
    with pytest.raises(InputError, match="there is no plot 'pie'"):
        sweep.plot("pie")  # type: ignore[arg-type]


def test_one_line_of_python_prints_a_table(tmp_path: Path) -> None:
    code = "import orchestrator; print(orchestrator.simulate(upscaling_speed=[1, 10], tasks=16, seconds=10))"
    result = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)

    assert [line.split()[0] for line in result.stdout.splitlines()[2:4]] == ["speed=1", "speed=10"]
    assert "2 of 2 trials simulated" in result.stderr
    assert (tmp_path / ".orchestrate" / "ledger.db").is_file()
