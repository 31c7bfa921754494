"""`observe` and `status` against a Ray cluster that is none of ours."""

import re
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest
import requests

from orchestrator.model.events import NodeEvent
from orchestrator.trace.file import read_trace
from tests.support.bystander import Bystander
from tests.support.orchestrate_command import Orchestrate
from tests.support.requirements import free_port

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


def test_a_cluster_has_the_same_series_after_a_restart(orchestrate: Orchestrate, bystander: Bystander) -> None:
    port = free_port()
    command = ("observe", "--address", bystander.address, "--name", "prod", "--for", "6s", "--metrics-port", str(port))
    seen = []
    with ThreadPoolExecutor(1) as threads:
        for _ in range(2):
            running = threads.submit(orchestrate, *command)
            seen.append(_series(port))
            assert running.result().returncode == 0

    assert {'sweep_id="observed",trial_id="prod"'} == {ids for found in seen for ids in found}


def _series(port: int) -> set[str]:
    """The ids of all series of a cluster, once they are served."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with suppress(requests.RequestException):
            text = requests.get(f"http://127.0.0.1:{port}/metrics", timeout=5).text
            if found := set(re.findall(r'orchestrator_\w+\{(sweep_id="[^"]*",trial_id="[^"]*")', text)):
                return found
        time.sleep(0.2)
    raise AssertionError("no metrics were served")


def test_status_shows_a_foreign_cluster(orchestrate: Orchestrate, bystander: Bystander) -> None:
    result = orchestrate("status", "--address", bystander.address)

    assert result.returncode == 0, result.stderr
    assert "pending demand: none" in result.stdout


def test_a_cluster_that_is_not_there_is_said_to_be_missing(orchestrate: Orchestrate) -> None:
    result = orchestrate("status", "--address", "127.0.0.1:1")

    assert result.returncode == 3
    assert result.stderr.startswith("error: no Ray cluster answers at 127.0.0.1:1")
    assert "Traceback" not in result.stderr
