"""`sweep --stack`: the stack starts before the sweep, is named, and keeps running."""

from pathlib import Path

import pytest

from orchestrator.errors import MissingPrerequisite
from orchestrator.lab.stack import stack_running
from orchestrator.stack.services import Service, Status
from orchestrator.stack.stack import Stack
from tests.support.reporting import KeptReport

URL = "http://127.0.0.1:9091"


def test_the_stack_is_named_before_and_after_even_if_the_sweep_is_interrupted(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    runs = Status((Service("prometheus", "/usr/bin/prometheus", "running", "healthy", URL, native=True),), tmp_path)
    monkeypatch.setattr(Stack, "ensure", lambda _stack, *, progress: runs)
    report = KeptReport()
    before = []

    def interrupted() -> None:
        with stack_running(tmp_path, wanted=True, reporter=report):
            before.append(report.text)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()

    assert before == [f"stack: Prometheus {URL}\n"]
    assert report.text == before[0] + f"the stack still runs: Prometheus {URL}; end it: orchestrate stack down\n"


def test_a_stack_that_is_not_wanted_is_not_started(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def missing(_stack: Stack, *, progress: object) -> Status:
        raise MissingPrerequisite("Docker isn't installed")

    monkeypatch.setattr(Stack, "ensure", missing)
    ran = []

    with pytest.raises(MissingPrerequisite), stack_running(tmp_path, wanted=True, reporter=KeptReport()):
        ran.append("with it")
    with stack_running(tmp_path, wanted=False, reporter=KeptReport()):
        ran.append("without")

    assert ran == ["without"]
