"""Tasks that need GPUs and memory: placed by all that they need, in the simulator as on a real local cluster."""

from collections import Counter
from pathlib import Path

import pytest

from orchestrator.model.cluster import ClusterShape, NodeType
from orchestrator.model.events import DemandEvent, Event, TaskEvent
from orchestrator.model.latency import Delay, LaunchModel
from orchestrator.model.ray_latencies import RayModel
from orchestrator.model.settings import AutoscalerVersion, Settings
from orchestrator.model.trial import Trial
from orchestrator.model.workload import Workload
from orchestrator.simulator.simulation import simulate
from orchestrator.trace.file import read_trace
from tests.support.orchestrate_command import Orchestrate

GIB = 2**30
HEAD = NodeType(name="head", arch="x86_64", resources={"CPU": 0})
SMALL = NodeType(name="small", arch="x86_64", resources={"CPU": 2, "memory": 4 * GIB}, min_workers=1, max_workers=4)
GPU = NodeType(name="gpu", arch="x86_64", resources={"CPU": 4, "memory": 16 * GIB, "GPU": 1}, max_workers=2)
SHAPE = ClusterShape(
    head=HEAD,
    workers=(SMALL, GPU),
    max_workers=6,
    launch=LaunchModel(request=Delay(mean_s=3), boot=Delay(mean_s=30)),
    simulation=RayModel(submit_phase=0.0),
)
both_versions = pytest.mark.parametrize("version", ["v1", "v2"])


def run(version: AutoscalerVersion, workload: Workload, *, plain: bool = False) -> list[Event]:
    """The events of a simulated trial."""
    settings = Settings(autoscaler=version, upscaling_speed=10, idle_timeout_minutes=1)
    events: list[Event] = []
    trial = Trial(backend="simulated", settings=settings, shape=SHAPE, workload=workload)
    simulate(trial, events.append, timeout_s=5000, plain=plain)
    return events


def ran_on(events: list[Event]) -> Counter[str]:
    """The number of tasks by node type."""
    ran: Counter[str] = Counter()
    for event in events:
        if isinstance(event, TaskEvent):
            ran[event.node_type] += event.count
    return ran


def most_at_once(events: list[Event]) -> int:
    """The most tasks that ran on one node at a time."""
    changes: dict[str, list[tuple[float, int]]] = {}
    for event in events:
        if isinstance(event, TaskEvent):
            changes.setdefault(event.node, []).extend([(event.started, event.count), (event.ended, -event.count)])
    most = 0
    for of_node in changes.values():
        running = 0
        for _, change in sorted(of_node):
            running += change
            most = max(most, running)
    return most


@both_versions
def test_tasks_share_a_gpu_and_run_nowhere_else(version: AutoscalerVersion) -> None:
    events = run(version, Workload(tasks=8, seconds=20, resources={"GPU": 0.5}))

    assert ran_on(events) == {"gpu": 8}
    assert most_at_once(events) == 2


@both_versions
def test_demand_for_memory_alone_launches_the_nodes_that_have_it(version: AutoscalerVersion) -> None:
    events = run(version, Workload(tasks=8, seconds=20, cpus=0.1, resources={"memory": 8 * GIB}))

    assert ran_on(events) == {"gpu": 8}
    assert most_at_once(events) == 2
    assert {shape for event in events if isinstance(event, DemandEvent) for shape in event.pending} == {
        f"CPU=0.1,memory={8 * GIB:g}"
    }


@both_versions
def test_memory_limits_the_tasks_of_a_node_before_its_cpus_do(version: AutoscalerVersion) -> None:
    events = run(version, Workload(tasks=6, seconds=20, resources={"memory": 3 * GIB}))

    assert most_at_once([event for event in events if getattr(event, "node_type", "") == "small"]) == 1


@both_versions
def test_shortcuts_decide_as_rays_own_code_does(version: AutoscalerVersion) -> None:
    workload = Workload(tasks=9, seconds=20, cpus=0.5, resources={"GPU": 0.25, "memory": 5 * GIB})

    assert run(version, workload) == run(version, workload, plain=True)


CLUSTER = """
cluster_name: mixed
max_workers: 4
upscaling_speed: 1.0
idle_timeout_minutes: 0.1
provider:
  type: external
  disable_node_updaters: true
  launch:
    request: {distribution: constant, mean_s: 0.5}
    boot: {distribution: constant, mean_s: 4.0}
    install: {distribution: constant, mean_s: 4.5}
  simulation:
    demand_lag: {distribution: constant, mean_s: 1.5}
    worker_start: {distribution: constant, mean_s: 0.9}
    task_overhead: {distribution: constant, mean_s: 0.1}
    drain: {distribution: constant, mean_s: 1.0}
head_node_type: head_node
available_node_types:
  head_node: {node_config: {}, resources: {CPU: 0}, max_workers: 0}
  small: {node_config: {}, resources: {CPU: 1, memory: 2000000000}, min_workers: 1, max_workers: 2}
  gpu: {node_config: {}, resources: {CPU: 2, GPU: 1, memory: 8000000000}, min_workers: 0, max_workers: 2}
"""


@pytest.mark.alone
@pytest.mark.parametrize("needs", ["GPU=0.5", "memory=4000000000"])
def test_a_real_cluster_places_them_as_the_simulator_does(orchestrate: Orchestrate, tmp_path: Path, needs: str) -> None:
    """On a busy machine a node may fail to start, so the number of launches isn't compared; see `validate`."""
    cluster = tmp_path / "mixed.yaml"
    cluster.write_text(CLUSTER)
    tasks = ("--tasks", "8", "--task-seconds", "10", "--task-cpus", "0.5", "--task-resources", needs)
    result = orchestrate("sweep", "--cluster", str(cluster), "--fit", "none", *tasks, "--metrics-port", "0")
    [trial] = orchestrate.json("show", "@last")["trials"]
    assert trial["status"] == "done", result.stdout + result.stderr
    events = list(read_trace(Path(trial["trace"])).events)

    assert ran_on(events) == {"gpu": 8}
    assert most_at_once(events) == 2
