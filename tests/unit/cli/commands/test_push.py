"""`orchestrate push` before it reaches a Prometheus: what it refuses, and without showing what."""

from pathlib import Path

import pytest

from orchestrator.cli.app import app
from orchestrator.errors import InputError
from orchestrator.lab.home import Home
from orchestrator.liveness import ProcessMark
from orchestrator.prometheus.client import CREDENTIALS_VARIABLE, Prometheus
from orchestrator.stack.services import Service, Status
from orchestrator.stack.stack import Stack
from orchestrator.sweeps.ledger import Ledger
from orchestrator.trace.file import TraceWriter
from tests.support.builders import phase, trial


def refused(home: Path, *arguments: str) -> InputError:
    """What a push says that can't be made."""
    with pytest.raises(InputError) as caught:
        app(["--home", str(home), "push", *arguments], standalone_mode=False)
    return caught.value


def test_no_password_may_stand_in_the_url_and_it_is_not_shown(tmp_path: Path) -> None:
    error = refused(tmp_path, "--to", "https://bob:hunter2@host")

    assert "hunter2" not in f"{error.message} {error.hint}"
    assert CREDENTIALS_VARIABLE in str(error.hint)


@pytest.mark.parametrize("url", ["localhost:9090", "ftp://host", "http://", "http://host/?x=1"])
def test_what_is_no_url_is_refused(tmp_path: Path, url: str) -> None:
    assert refused(tmp_path, "--to", url).message.startswith("--to: ")


def test_the_prometheus_of_the_stack_is_the_default(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked: list[str] = []

    def push_trials(_home: Home, _wanted: object, prometheus: Prometheus, _reporter: object, *, end_now: bool) -> None:
        asked.append(prometheus.url)
        raise InputError("enough")

    services = (Service("prometheus", "prometheus", "running", "healthy", "http://127.0.0.1:9393", native=True),)
    monkeypatch.setattr("orchestrator.cli.commands.push.push_trials", push_trials)
    refused(tmp_path)
    monkeypatch.setattr(Stack, "known", True)
    monkeypatch.setattr(Stack, "status", lambda _stack: Status(services, tmp_path))
    refused(tmp_path)
    refused(tmp_path, "--to", "http://127.0.0.1:9999")

    assert asked == ["http://127.0.0.1:9090", "http://127.0.0.1:9393", "http://127.0.0.1:9999"]


def test_a_trial_that_still_runs_is_not_pushed(tmp_path: Path) -> None:
    """What it becomes would differ from what was pushed, at the same times."""
    ledger, running, path = Ledger(f"sqlite:///{tmp_path / 'ledger.db'}"), trial(), tmp_path / "t.jsonl"
    ledger.add_sweep(
        "s",
        [running],
        name="",
        backend="local",
        spec={},
        environment={"process": ProcessMark.this_process().as_record()},
    )
    ledger.start_trial("s", running.trial_id, str(path))
    with TraceWriter(path, trial=running) as trace:
        trace.emit(phase(0, "running"))

    assert "no trial has ended" in refused(tmp_path, "s").message
