"""The Python API on simulated sweeps; docs/python.md is run cell by cell, and shows what its cells give."""

import ast
import os
import pprint
import re
from pathlib import Path
from typing import Any

import pytest

import orchestrator
from orchestrator.errors import InputError, UnknownId
from orchestrator.model.events import TaskEvent
from tests.support.orchestrate_command import Orchestrate

DOCUMENT = Path(__file__).parents[2] / "docs" / "python.md"
CELL = re.compile(r"```python\n(.*?)```\n(?:```text\n(.*?)```)?", re.DOTALL)


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Orchestrate:
    """The sweep of docs/python.md."""
    command = Orchestrate(tmp_path_factory.mktemp("simulated"))
    (line,) = re.findall(r"^orchestrate (simulate .*)$", DOCUMENT.read_text(), re.MULTILINE)
    assert command(*line.split()).returncode == 0
    return command


def test_the_documents_cells_show_what_they_give(simulated: Orchestrate, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORCHESTRATE_HOME", str(simulated.home))
    monkeypatch.delenv("ORCHESTRATE_LEDGER", raising=False)
    cells = CELL.findall(DOCUMENT.read_text())
    names: dict[str, Any] = {}

    assert len(cells) > 5
    for source, shown in cells:
        assert _run_cell(source, names) == shown.rstrip("\n"), source


def _run_cell(source: str, names: dict[str, Any]) -> str:
    """Run it as a notebook does; what its last expression gives, as text."""
    body = ast.parse(source).body
    exec(compile(ast.Module(body[:-1], []), str(DOCUMENT), "exec"), names)
    assert isinstance(body[-1], ast.Expr)
    value = eval(compile(ast.Expression(body[-1].value), str(DOCUMENT), "eval"), names)
    return pprint.pformat(value, width=140, sort_dicts=False)


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
