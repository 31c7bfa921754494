"""`sweep --stack`: the stack is asked for before what runs beside it, named, and left running."""

from pathlib import Path

import pytest

from orchestrator.cli.commands.stack import beside
from orchestrator.errors import MissingPrerequisite
from orchestrator.stack.services import Service, Status
from orchestrator.stack.stack import Stack

URL = "http://127.0.0.1:9091"


def test_it_is_named_before_and_said_to_run_still_afterwards_even_when_interrupted(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = Status((Service("prometheus", "/usr/bin/prometheus", "running", "healthy", URL, native=True),), tmp_path)
    monkeypatch.setattr(Stack, "ensure", lambda _stack, *, progress: runs)

    before = []

    def interrupted() -> None:
        with beside(tmp_path, wanted=True):
            before.append(capsys.readouterr().err)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()

    assert before == [f"stack: Prometheus {URL}\n"]
    assert capsys.readouterr().err == f"the stack still runs: Prometheus {URL}; end it: orchestrate stack down\n"


def test_without_it_nothing_is_run_beside(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def missing(_stack: Stack, *, progress: object) -> Status:
        raise MissingPrerequisite("Docker isn't installed")

    monkeypatch.setattr(Stack, "ensure", missing)
    ran = []

    with pytest.raises(MissingPrerequisite), beside(tmp_path, wanted=True):
        ran.append("with it")
    with beside(tmp_path, wanted=False):
        ran.append("without")

    assert ran == ["without"]
