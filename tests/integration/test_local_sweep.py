"""A small sweep on a real local Ray cluster: the one that `make test` can afford."""

import json
import stat
from collections import Counter
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from orchestrator.model.events import NodeEvent, SettingsEvent, TaskEvent
from orchestrator.trace.file import Trace, read_trace
from tests.support.orchestrate_command import ROOT, Orchestrate, ended_well

pytestmark = [pytest.mark.quick, pytest.mark.alone]

SPEEDS = (1.0, 10.0)
TASKS = 8
COMMAND = (
    *("sweep", "--upscaling-speed", "1,10", "--idle-timeout-minutes", "0.1"),
    *("--tasks", str(TASKS), "--task-seconds", "4", "--metrics-port", "0"),
)


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Orchestrate:
    """A home with the sweep, which is over."""
    command = Orchestrate(tmp_path_factory.mktemp("swept"))
    result = command(*COMMAND)
    assert ended_well(command, result.returncode), result.stdout + result.stderr
    return command


@pytest.fixture(scope="module")
def document(swept: Orchestrate) -> Any:
    """`show @last --json`."""
    return swept.json("show", "@last")


@pytest.fixture(scope="module")
def traces(document: Any) -> list[Trace]:
    return [read_trace(Path(trial["trace"])) for trial in document["trials"]]


def test_each_setting_has_a_finished_trial(document: Any) -> None:
    jsonschema.validate(document, json.loads((ROOT / "docs" / "schema" / "sweep.schema.json").read_text()))

    assert [trial["settings"]["upscaling_speed"] for trial in document["trials"]] == list(SPEEDS)
    assert [trial["status"] for trial in document["trials"]] == ["done", "done"]


def test_rays_autoscaler_had_each_setting_in_force(traces: list[Trace]) -> None:
    for speed, trace in zip(SPEEDS, traces, strict=True):
        read = [event for event in trace.events if isinstance(event, SettingsEvent)]

        assert read
        assert {event.in_force["upscaling_speed"] for event in read} == {speed}


def test_all_tasks_run_on_nodes_that_the_autoscaler_started(traces: list[Trace]) -> None:
    for trace in traces:
        launched = {event.node for event in trace.events if isinstance(event, NodeEvent) and event.state == "requested"}
        tasks = [event for event in trace.events if isinstance(event, TaskEvent)]

        assert sum(task.count for task in tasks) == TASKS
        assert all(task.ok for task in tasks)
        assert launched


def test_each_trial_ends_at_the_minimum_of_nodes(traces: list[Trace]) -> None:
    for trace in traces:
        nodes = [event for event in trace.events if isinstance(event, NodeEvent) and not event.is_head]
        last = {event.node: event for event in nodes}
        alive = Counter(event.node_type for event in last.values() if event.state not in ("terminated", "failed"))

        assert alive == {"x86_worker_node": 1, "arm_worker_node": 1}


def test_the_report_tells_of_each_trial(swept: Orchestrate, document: Any) -> None:
    page = swept.home / "report.html"
    result = swept("report", "@last", "--to", str(page))

    assert result.returncode == 0, result.stderr
    assert all(trial["trial_id"] in page.read_text() for trial in document["trials"])


def test_the_log_of_the_sweep_is_private_and_holds_no_token(swept: Orchestrate, document: Any) -> None:
    (path,) = swept.home.glob("sweeps/*/orchestrate.log")
    text = path.read_text()

    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert all(f"trial {trial['trial_id']} ends: " in text for trial in document["trials"])
    assert (swept.home / "ray_token").read_text() not in text


def test_no_process_or_cluster_folder_is_left(swept: Orchestrate) -> None:
    assert swept.leftovers() == []
    assert not list((swept.home / "clusters").iterdir())
