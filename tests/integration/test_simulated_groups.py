"""Workloads of groups in virtual time, with Ray's own autoscaler: mixed shapes, actors, requests for resources."""

from typing import Any

import pytest

from orchestrator.model.cluster import ClusterShape, NodeType
from orchestrator.model.events import Event, NodeEvent, TaskEvent
from orchestrator.model.latency import Delay, LaunchModel
from orchestrator.model.ray_latencies import RayModel
from orchestrator.model.settings import AutoscalerVersion, Settings
from orchestrator.model.trial import Trial
from orchestrator.model.workload import Workload
from orchestrator.simulator.simulation import simulate
from orchestrator.simulator.trace_recorder import SUBMISSION

VERSIONS: tuple[AutoscalerVersion, ...] = ("v1", "v2")
both_versions = pytest.mark.parametrize("version", VERSIONS)

SHAPE = ClusterShape(
    head=NodeType(name="head", arch="x86_64", resources={"CPU": 0, "memory": 1e9}),
    workers=(
        NodeType(name="cpu", arch="x86_64", resources={"CPU": 4, "memory": 8e9}, max_workers=4),
        NodeType(name="gpu", arch="x86_64", resources={"CPU": 4, "GPU": 2, "memory": 8e9}, max_workers=2),
    ),
    max_workers=6,
    launch=LaunchModel(request=Delay(mean_s=1), boot=Delay(mean_s=20)),
    simulation=RayModel(submit_phase=0.3),
)

MIXED = [
    {"name": "load", "tasks": 12, "seconds": 20},
    {"name": "train", "tasks": 4, "cpus": 2, "resources": {"GPU": 0.5}, "seconds": 30, "after": "load"},
    {"name": "big", "tasks": 2, "resources": {"memory": 6e9}, "seconds": {"distribution": "exponential", "mean_s": 9}},
]


def run(version: AutoscalerVersion, groups: list[dict[str, Any]], *, plain: bool = False, **more: Any) -> list[Event]:
    events: list[Event] = []
    trial = Trial(
        backend="simulated",
        settings=Settings(autoscaler=version, idle_timeout_minutes=0.5, upscaling_speed=10),
        shape=SHAPE,
        workload=Workload.model_validate({"groups": groups, **more}),
    )
    simulate(trial, events.append, timeout_s=5000, plain=plain)
    return events


def tasks(events: list[Event], group: str) -> list[TaskEvent]:
    return [event for event in events if isinstance(event, TaskEvent) and getattr(event, "group", "") == group]


def launched(events: list[Event]) -> list[tuple[str, float]]:
    """The type and time of each request for a node."""
    return [
        (event.node_type, event.t - SUBMISSION)
        for event in events
        if isinstance(event, NodeEvent) and event.state == "requested"
    ]


@both_versions
def test_shortcuts_change_no_decision_about_several_shapes(version: AutoscalerVersion) -> None:
    assert run(version, MIXED) == run(version, MIXED, plain=True)


@both_versions
def test_a_group_starts_when_the_one_before_has_ended_and_runs_where_its_resources_are(
    version: AutoscalerVersion,
) -> None:
    events = run(version, MIXED)
    load, train = tasks(events, "load"), tasks(events, "train")

    assert (sum(task.count for task in load), sum(task.count for task in train)) == (12, 4)
    assert {task.submitted for task in train} == {max(task.ended for task in load)}
    assert {task.node_type for task in train} == {"gpu"}


@both_versions
def test_demand_by_memory_alone_launches_nodes(version: AutoscalerVersion) -> None:
    events = run(version, [{"name": "big", "tasks": 3, "cpus": 0, "resources": {"memory": 6e9}, "seconds": 30}])

    assert len({task.node for task in tasks(events, "big")}) == len(launched(events)) == 3


def test_v2_launches_no_gpu_node_for_tasks_without_gpus() -> None:
    events = run("v2", [{"name": "load", "tasks": 16, "seconds": 60}])

    assert {node_type for node_type, _ in launched(events)} == {"cpu"}


@both_versions
def test_an_actor_without_cpus_keeps_its_node_alive_beyond_the_idle_timeout(version: AutoscalerVersion) -> None:
    groups = [
        {"name": "load", "tasks": 4, "seconds": 20},
        {"name": "server", "actors": 1, "cpus": 0, "resources": {"memory": 2e9}, "seconds": 200, "after": "load"},
    ]
    events = run(version, groups)
    (actor,) = tasks(events, "server")
    gone = [event.t for event in events if isinstance(event, NodeEvent) and event.state == "draining"]

    assert actor.ended - actor.started == pytest.approx(200)
    assert all(t >= actor.ended for t in gone)


@both_versions
def test_a_request_for_resources_launches_nodes_that_no_task_needs_and_keeps_them(version: AutoscalerVersion) -> None:
    groups = [{"name": "probe", "tasks": 30, "cpus": 1, "seconds": 5, "arrival": "ramp", "arrival_s": 200}]
    up_and_down = [{"at_s": 40, "bundles": [{"CPU": 4}] * 3}, {"at_s": 120}]
    without, requested = run(version, groups), run(version, groups, requests=up_and_down)

    assert len(launched(without)) == 1
    assert len(launched(requested)) == 3
    assert all(t >= 40 for _, t in launched(requested)[1:])
    drained = [
        event.t - SUBMISSION for event in requested if isinstance(event, NodeEvent) and event.state == "draining"
    ]
    assert min(drained) >= 120
