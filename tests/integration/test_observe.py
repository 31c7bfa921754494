"""`observe` and `status` against a Ray cluster that is none of ours."""

import pytest

from orchestrator.model.events import NodeEvent
from orchestrator.trace.file import read_trace
from tests.support.bystander import Bystander
from tests.support.orchestrate_command import Orchestrate

pytestmark = pytest.mark.alone


def test_observe_writes_a_trace_of_any_cluster(orchestrate: Orchestrate, bystander: Bystander) -> None:
    path = orchestrate.home.parent / "seen.jsonl"
    result = orchestrate("observe", "--address", bystander.address, "--for", "4s", "--trace", str(path))

    assert result.returncode == 0, result.stderr
    trace = read_trace(path)
    assert trace.trial is None
    assert trace.context["observed"] == bystander.address
    assert [event.state for event in trace.events if isinstance(event, NodeEvent)][:1] == ["running"]
    assert {"usage", "host"} <= {event.type for event in trace.events}


def test_status_shows_a_foreign_cluster(orchestrate: Orchestrate, bystander: Bystander) -> None:
    result = orchestrate("status", "--address", bystander.address)

    assert result.returncode == 0, result.stderr
    assert "pending demand: none" in result.stdout


def test_a_cluster_that_is_not_there_is_said_to_be_missing(orchestrate: Orchestrate) -> None:
    result = orchestrate("status", "--address", "127.0.0.1:1")

    assert result.returncode == 3
    assert result.stderr.startswith("error: no Ray cluster answers at 127.0.0.1:1")
    assert "Traceback" not in result.stderr
