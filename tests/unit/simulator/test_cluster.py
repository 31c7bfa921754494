"""The simulated Ray: when tasks run, what a node's death and drain do, and what the GCS sees; all by hand."""

from collections import Counter
from typing import Any

import pytest

from orchestrator.model.events import Event, TaskEvent
from orchestrator.model.group import Group
from orchestrator.model.latency import Delay, NodeLatencies
from orchestrator.model.ray_latencies import RayModel
from orchestrator.model.workload import Workload
from orchestrator.simulator.cluster import Cluster
from orchestrator.simulator.loop import EventLoop
from orchestrator.simulator.machine import SimulatedMachine
from orchestrator.simulator.trace_recorder import SUBMISSION, Recorder
from tests.support.builders import ARM, HEAD, X86

EPOCH = 1000.0


class World:
    """A cluster whose tasks take 10 s; second 0 is when they may be submitted."""

    def __init__(self, tasks: int = 1, workload: dict[str, Any] | None = None, **model: Delay) -> None:
        self.loop = EventLoop()
        self.events: list[Event] = []
        self.done: list[float] = []
        (self.group,) = Workload(**{"tasks": tasks, "seconds": 10, **(workload or {})}).work
        self.recorder = Recorder(self.events.append, lambda: self.loop.now, self.loop.call_at)
        self.cluster = Cluster(
            [self.group],
            RayModel(**{"demand_lag": Delay(), **model}),
            0,
            self.loop,
            self.recorder,
            EPOCH,
            self._ended,
        )
        read = self.cluster
        self.recorder.begin(0.0, [], lambda: (read.demand(), read.usage()))
        self._left = tasks
        self.machines = 0

    def join(self, kind: Any = X86, *, is_head: bool = False) -> SimulatedMachine:
        self.machines += 1
        name = f"i-{self.machines:06d}"
        machine = SimulatedMachine(name, kind, is_head, "10.0.0.1", NodeLatencies(), float("inf"))
        self.cluster.join(machine)
        return machine

    def submit(self, count: int) -> None:
        self.cluster.submit(self.group, 10.0, count)

    def _ended(self, _group: Group, count: int) -> None:
        self._left -= count
        if not self._left:
            self.done.append(self.loop.now)

    def tasks(self) -> list[tuple[float, float, int]]:
        """When each group of tasks was submitted and started, and how many."""
        return [
            (event.submitted - SUBMISSION, event.started - SUBMISSION, event.count)
            for event in self.events
            if isinstance(event, TaskEvent)
        ]


@pytest.mark.parametrize(("tasks", "makespan"), [(4, 10.0), (5, 20.0), (8, 20.0), (9, 30.0)])
def test_equal_tasks_on_equal_nodes_take_as_many_rounds_as_the_slots_need(tasks: int, makespan: float) -> None:
    world = World(tasks)
    world.join()
    world.join()
    world.submit(tasks)
    world.loop.run_until(100)

    assert [makespan] == world.done


@pytest.mark.parametrize(("tasks", "makespan"), [(4, 15.0), (6, 20.0), (8, 25.0)])
def test_a_node_that_joins_late_takes_tasks_from_then_on(tasks: int, makespan: float) -> None:
    world = World(tasks)
    world.join()
    world.submit(tasks)
    world.loop.run_until(5)
    world.join()
    world.loop.run_until(100)

    assert [makespan] == world.done


def test_the_tasks_of_a_node_that_dies_are_queued_again_before_the_others_in_their_order() -> None:
    world = World(3)
    machine = world.join()
    for when in (0, 1, 2):
        world.loop.run_until(when)
        world.submit(1)
    world.loop.run_until(5)
    world.cluster.lose(machine)

    assert 3 == world.cluster.pending
    world.join()
    world.loop.run_until(100)
    assert [(0, 5, 1), (1, 5, 1), (2, 15, 1)] == world.tasks()
    assert [25.0] == world.done


def test_the_head_and_a_node_without_the_resources_run_no_task() -> None:
    world = World(1, {"resources": {"Graviton": 1}})
    world.join(HEAD, is_head=True)
    world.join(X86)
    world.submit(1)
    assert (1, False) == (world.cluster.pending, world.cluster.busy())

    world.join(ARM)
    assert (0, True) == (world.cluster.pending, world.cluster.busy())


def test_a_busy_node_rejects_a_drain_and_an_idle_one_accepts_it() -> None:
    world = World(1, drain=Delay(mean_s=3))
    busy, idle = world.join(), world.join()
    world.submit(1)

    assert not world.cluster.drain_if_idle(bytes.fromhex(busy.ray_node_id))
    assert world.cluster.drain_if_idle(bytes.fromhex(idle.ray_node_id))
    assert 1 == world.cluster.rejected_drains
    world.loop.run_until(2.9)
    assert Counter({"x86": 2}) == world.cluster.alive()
    world.loop.run_until(3)
    assert Counter({"x86": 1}) == world.cluster.alive()


def test_a_draining_node_starts_no_task() -> None:
    world = World(1, drain=Delay(mean_s=3))
    machine = world.join()
    world.cluster.drain_if_idle(bytes.fromhex(machine.ray_node_id))
    world.submit(1)

    assert 1 == world.cluster.pending


def test_stopping_a_busy_node_queues_its_tasks_again() -> None:
    world = World(1, drain=Delay(mean_s=3))
    node_id = bytes.fromhex(world.join().ray_node_id)
    world.submit(1)

    assert [node_id] == world.cluster.stop([node_id, b"unknown"])
    world.loop.run_until(3)
    assert 1 == world.cluster.pending


def test_the_gcs_sees_pending_tasks_after_the_lag() -> None:
    world = World(3, demand_lag=Delay(mean_s=2))
    world.submit(3)
    world.loop.run_until(1.9)
    assert (3, 0) == (world.cluster.pending, world.cluster.visible)

    world.loop.run_until(2)
    assert 3 == world.cluster.visible
    world.join()
    world.loop.run_until(3.9)
    assert (1, 3) == (world.cluster.pending, world.cluster.visible)
    world.loop.run_until(4)
    assert 1 == world.cluster.visible


def test_the_gcs_hears_of_tasks_whose_node_is_lost_at_the_moment_when_it_took_them() -> None:
    world = World(1, demand_lag=Delay(mean_s=2))
    world.submit(1)
    world.loop.run_until(5)
    machine = world.join()
    world.loop.run_until(5)
    world.cluster.lose(machine)
    world.loop.run_until(10)

    assert 1 == world.cluster.visible


def test_the_gcs_sees_a_task_waiting_or_running_and_never_both() -> None:
    """It asks a node for its waiting tasks and its free resources at once, and takes a node that joins for free."""
    world = World(3, demand_lag=Delay(mean_s=2))
    seen: list[tuple[float, int, int]] = []

    def look() -> None:
        used = sum(int(view.used.get("CPU", 0)) for view in world.cluster.views())
        seen.append((world.loop.now, world.cluster.visible, used))

    def join() -> None:
        world.join()

    world.submit(3)
    for when in (1, 3, 5, 7, 13, 15, 17, 19):
        world.loop.call_at(when, look)
    world.loop.call_at(4, join)
    world.loop.run_until(30)

    assert [
        *((1, 0, 0), (3, 3, 0)),
        *((5, 3, 0), (7, 1, 2), (13, 1, 2)),  # two tasks run from 4 to 14
        *((15, 1, 2), (17, 0, 1), (19, 0, 1)),
    ] == seen


def test_only_the_first_task_of_a_worker_waits_for_its_start() -> None:
    world = World(4, worker_start=Delay(mean_s=2), task_overhead=Delay(mean_s=0.5))
    world.join()
    world.submit(4)
    world.loop.run_until(100)

    assert [(0, 2.5, 2), (0, 13.0, 2)] == world.tasks()
    assert [23.0] == world.done


def test_a_node_is_idle_since_it_joined_or_its_last_task_ended() -> None:
    world = World(2)
    world.loop.run_until(3)
    world.join()
    assert [EPOCH + 3] == [since for _, since in world.cluster.idle_since()]

    world.submit(1)
    assert [] == list(world.cluster.idle_since())
    world.loop.run_until(50)
    assert [EPOCH + 13] == [since for _, since in world.cluster.idle_since()]


def test_the_idle_head_is_no_idle_worker() -> None:
    world = World()
    world.join(HEAD, is_head=True)

    assert [] == list(world.cluster.idle_since())
    assert Counter() == world.cluster.alive()


def test_usage_counts_the_cpus_of_tasks_and_of_living_nodes() -> None:
    world = World(1)
    machine = world.join()
    world.submit(1)
    assert {"x86": (1.0, 2.0)} == world.cluster.usage()

    world.cluster.lose(machine)
    assert {} == world.cluster.usage()


class Mixed(World):
    """Groups of several shapes."""

    def __init__(self, *groups: dict[str, Any]) -> None:
        self.groups = {group.name: group for group in Workload.model_validate({"groups": groups}).work}
        super().__init__()
        self.recorder = Recorder(self.events.append, lambda: self.loop.now, self.loop.call_at, names_groups=True)
        self.cluster = Cluster(
            self.groups.values(), RayModel(demand_lag=Delay()), 0, self.loop, self.recorder, EPOCH, lambda *_: None
        )
        self.recorder.begin(0.0, [], lambda: (self.cluster.demand(), self.cluster.usage()))

    def arrive(self, name: str, seconds: float = 10.0) -> None:
        self.cluster.submit(self.groups[name], seconds, self.groups[name].count)

    def starts(self) -> dict[str, list[float]]:
        found: dict[str, list[float]] = {}
        for event in self.events:
            if isinstance(event, TaskEvent):
                name = getattr(event, "group", "")
                found.setdefault(name, []).extend([event.started - SUBMISSION] * event.count)
        return found


def test_a_task_that_fits_starts_although_a_larger_one_waits() -> None:
    world = Mixed({"name": "large", "tasks": 1, "cpus": 2}, {"name": "small", "tasks": 2})
    world.join()
    world.arrive("small")
    world.arrive("large")
    world.loop.run_until(100)

    assert world.starts() == {"small": [0, 0], "large": [10]}


def test_a_worker_takes_the_next_task_of_its_shape_before_others() -> None:
    world = Mixed({"name": "a", "tasks": 4}, {"name": "b", "tasks": 2, "resources": {"Intel": 0.1}})
    world.join()
    world.arrive("a")
    world.arrive("b")
    world.loop.run_until(100)

    assert world.starts() == {"a": [0, 0, 10, 10], "b": [20, 20]}


def test_the_scarcest_resource_limits_the_tasks_of_a_node() -> None:
    world = Mixed({"name": "a", "tasks": 3, "cpus": 0, "resources": {"Intel": 0.5}})
    world.join()
    world.arrive("a")
    world.loop.run_until(100)

    assert world.starts() == {"a": [0, 0, 10]}


def test_the_demand_is_known_by_shape() -> None:
    world = Mixed({"name": "a", "tasks": 2}, {"name": "b", "tasks": 3, "cpus": 0.5, "resources": {"GPU": 1}})
    world.arrive("a")
    world.arrive("b")

    assert {each.needs.shape: each.count for each in world.cluster.demand()} == {"CPU=1": 2, "CPU=0.5,GPU=1": 3}


def test_an_actor_without_cpus_keeps_its_node_from_being_idle() -> None:
    world = Mixed({"name": "server", "actors": 1, "cpus": 0})
    machine = world.join()
    world.arrive("server", 30.0)

    assert not world.cluster.drain_if_idle(bytes.fromhex(machine.ray_node_id))
    world.loop.run_until(31)
    assert world.cluster.drain_if_idle(bytes.fromhex(machine.ray_node_id))


def test_tasks_without_gpus_start_on_a_gpu_node_last() -> None:
    world = Mixed({"name": "a", "tasks": 1})
    gpu = X86.model_copy(update={"name": "gpu", "resources": {"CPU": 2, "GPU": 1}})
    first, second = world.join(gpu), world.join()
    world.arrive("a")

    assert (world.cluster.tasks_on(first), world.cluster.tasks_on(second)) == (0, 1)
