"""A sweep whose cluster can't be ended at its end: what was found is printed and kept, and what to do is said."""

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from orchestrator.errors import Interrupted
from orchestrator.lab import run as running
from orchestrator.lab.home import Home
from orchestrator.lab.run import Execution, begin
from orchestrator.model.trial import Trial
from tests.support.prepared_backend import PreparedBackend, planned

WHY = "removing the cluster's containers: network has active endpoints"
WARNING = f"warning: {WHY}; what is left of it: orchestrate clean"


def nothing(trial: Trial) -> None:
    """As a trial that goes well."""


def interrupt(trial: Trial) -> None:
    raise KeyboardInterrupt


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., int]:
    """Runs a sweep of two speeds, on a backend that can't end its cluster unless `left` is empty."""

    def call(behaviour: Callable[[Trial], None], left: tuple[str, ...] = (WHY,)) -> int:
        backend = PreparedBackend(behaviour)
        backend.at_close = lambda: setattr(backend, "left", left)
        monkeypatch.setattr(running, "_starter", lambda *_how: lambda _folder: backend)
        (tmp_path / "cluster.yaml").touch()
        cluster: Any = SimpleNamespace(path=tmp_path / "cluster.yaml")
        how = Execution(None, 0, str(tmp_path / "result.json"))
        return begin(Home(tmp_path / "home", ""), planned(1, 5), cluster, how)

    return call


def test_a_finished_sweep_is_shown_and_written_with_a_warning(
    run: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = run(nothing)
    said = capsys.readouterr()

    assert code == 0
    assert WARNING in said.err
    assert "(night run): done" in said.out
    assert [each["status"] for each in json.loads((tmp_path / "result.json").read_text())["trials"]] == ["done", "done"]


def test_an_interruption_does_not_claim_that_all_is_removed(
    run: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(Interrupted) as interrupted:
        run(interrupt)
    said = capsys.readouterr().err

    assert interrupted.value.exit_code == 130
    assert interrupted.value.hint == "orchestrate clean"
    assert WARNING in said
    assert "go on with: orchestrate sweep --resume" in said


def test_an_interruption_after_which_nothing_is_left_stays_one(
    run: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(interrupt, left=())

    assert "warning" not in capsys.readouterr().err
