"""A sweep whose cluster can't be ended at its end: its result is kept, and the user reads what to do."""

from collections.abc import Callable
from io import StringIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from orchestrator.errors import Interrupted
from orchestrator.lab import run as running
from orchestrator.lab.home import Home
from orchestrator.lab.run import Execution, begin
from orchestrator.model.trial import Trial
from orchestrator.report.terminal.tables import sweep_table
from orchestrator.sweeps.ledger import SweepRecord
from tests.support.prepared_backend import PreparedBackend, planned
from tests.support.reporting import KeptReport

WHY = "removing the cluster's containers: network has active endpoints"
WARNING = f"warning: {WHY}; what is left of it: orchestrate clean"

Run = Callable[..., SweepRecord]


def nothing(trial: Trial) -> None:
    """As a trial that goes well."""


def interrupt(trial: Trial) -> None:
    raise KeyboardInterrupt


@pytest.fixture
def report() -> KeptReport:
    return KeptReport()


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, report: KeptReport) -> Run:
    """Runs a sweep of two speeds, on a backend that can't end its cluster unless `left` is empty."""

    def call(behaviour: Callable[[Trial], None], left: tuple[str, ...] = (WHY,)) -> SweepRecord:
        backend = PreparedBackend(behaviour)
        backend.at_close = lambda: setattr(backend, "left", left)
        monkeypatch.setattr(running, "_create_backend", lambda *_how: backend)
        (tmp_path / "cluster.yaml").touch()
        cluster: Any = SimpleNamespace(path=tmp_path / "cluster.yaml")
        return begin(Home(tmp_path / "home", ""), planned(1, 5), cluster, Execution(metrics_port=0), report)

    return call


def test_a_finished_sweep_is_returned_with_a_warning(run: Run, report: KeptReport) -> None:
    record = run(nothing)

    assert WARNING in report.text
    assert [each.status for each in record.trials] == ["done", "done"]


def test_a_watcher_that_stops_is_one_line_of_the_result(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("no screen")

    monkeypatch.setattr("orchestrator.report.terminal.live_view.LiveView.event", broken)
    record = run(nothing, left=())
    (line,) = record.notes
    text = StringIO()
    Console(file=text, width=160).print(sweep_table(record))

    assert line == "the live view stopped after an error: RuntimeError: no screen; see orchestrate.log"
    assert text.getvalue().count(line) == 1
    (log,) = tmp_path.glob("home/sweeps/*/orchestrate.log")
    assert "RuntimeError: no screen" in log.read_text()
    assert "begins" in log.read_text()


def test_an_interruption_does_not_claim_that_all_is_removed(run: Run, report: KeptReport) -> None:
    with pytest.raises(Interrupted) as interrupted:
        run(interrupt)

    assert interrupted.value.exit_code == 130
    assert interrupted.value.hint == "orchestrate clean"
    assert WARNING in report.text
    assert "go on with: orchestrate sweep --resume" in report.text


def test_an_interruption_after_which_nothing_is_left_stays_one(run: Run, report: KeptReport) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(interrupt, left=())

    assert "warning" not in report.text
