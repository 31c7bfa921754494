"""The simulated cloud: what it grants, when machines boot and end, and what it takes back."""

from typing import Any

import pytest

from orchestrator.model.events import Event, NodeEvent
from orchestrator.model.latency import Delay, LaunchModel, NodeLatencies
from orchestrator.rayapi.virtual.world import LaunchRefused
from orchestrator.simulator.cloud import Cloud
from orchestrator.simulator.loop import EventLoop
from orchestrator.simulator.trace_recorder import SUBMISSION, Recorder
from tests.support.builders import SHAPE

FOREVER_S = 1e6


class World:
    """A cloud after its warm-up, unless it is said to be in it."""

    def __init__(self, *, warming_up: bool = False, **launch: Any) -> None:
        self.loop = EventLoop()
        self.events: list[Event] = []
        self.booted: list[tuple[float, str]] = []
        self.gone: list[tuple[float, str]] = []
        recorder = Recorder(self.events.append, lambda: self.loop.now, self.loop.call_at)
        recorder.begin(0.0, [], lambda: ([], {}))
        self.cloud = Cloud(
            SHAPE.model_copy(update={"launch": LaunchModel(**launch)}),
            0,
            self.loop,
            recorder,
            lambda machine: self.booted.append((self.loop.now, machine.machine_id)),
            lambda machine: self.gone.append((self.loop.now, machine.machine_id)),
        )
        self.cloud.warming_up = warming_up

    def launch(self, count: int = 1, node_type: str = "x86") -> None:
        self.cloud.finish_launch(self.cloud.begin_launch(node_type, count), {"tag": "kept"})

    def states(self, name: str) -> list[tuple[float, str, str]]:
        return [
            (event.t - SUBMISSION, event.state, event.cause)
            for event in self.events
            if isinstance(event, NodeEvent) and event.node == name
        ]


def test_a_call_takes_its_request_and_a_machine_its_boot() -> None:
    world = World(request=Delay(mean_s=2), boot=Delay(mean_s=30))
    call = world.cloud.begin_launch("x86", 2)
    assert (2.0, {}) == (call.seconds, dict(world.cloud.machines))

    world.loop.run_until(2)
    world.cloud.finish_launch(call, {"tag": "kept"})
    world.loop.run_until(FOREVER_S)
    assert [(32.0, "i-000001"), (32.0, "i-000002")] == world.booted
    assert {"tag": "kept"} == world.cloud.machines["i-000001"].tags
    assert [(0, "requested", ""), (2, "allocated", "")] == world.states("i-000001")


def test_capacity_is_granted_partly_and_then_refused() -> None:
    world = World(capacity={"x86": 2})
    world.launch(3)
    assert ["i-000001", "i-000002"] == list(world.cloud.machines)
    assert [(0, "requested", ""), (0, "failed", "launch")] == world.states("i-000003")

    with pytest.raises(LaunchRefused, match="no capacity for x86") as refused:
        world.launch()
    assert "InsufficientInstanceCapacity" == refused.value.category
    world.launch(1, "arm")
    assert 3 == len(world.cloud.machines)


def test_a_machine_that_was_terminated_leaves_its_capacity_to_others() -> None:
    world = World(capacity={"x86": 1})
    world.launch()
    world.cloud.terminate(["i-000001"])
    with pytest.raises(LaunchRefused):  # it is about to end, and still takes its place
        world.launch()
    world.loop.run_until(world.loop.now)
    world.launch()

    assert ["i-000003"] == list(world.cloud.machines)


def test_a_failure_rate_of_one_refuses_every_call() -> None:
    world = World(failure_rate=1)
    with pytest.raises(LaunchRefused, match="RequestFailed"):
        world.launch()

    assert {} == world.cloud.machines
    assert [(0, "requested", ""), (0, "failed", "launch")] == world.states("i-000001")


def test_a_terminated_machine_leaves_the_list_at_once_and_is_gone_after_its_latency() -> None:
    world = World(terminate=Delay(mean_s=7), boot=Delay(mean_s=99))
    world.launch()
    world.loop.run_until(3)
    world.cloud.terminate(["i-000001", "unknown"])
    assert ({}, 1, [(3.0, "i-000001")]) == (world.cloud.machines, world.cloud.ending, world.gone)

    world.loop.run_until(FOREVER_S)
    assert (0, []) == (world.cloud.ending, world.booted)
    assert [(3, "draining", "scale_down"), (10, "terminated", "scale_down")] == world.states("i-000001")[2:]


def test_the_cloud_takes_a_machine_back_when_its_life_is_over() -> None:
    world = World(spot_interruptions_per_hour=60)
    world.launch()
    life = round(world.cloud.machines["i-000001"].lifetime_s, 6)
    world.loop.run_until(FOREVER_S)

    assert ({}, [(life, "i-000001")]) == (world.cloud.machines, world.gone)
    assert ("failed", "spot_interruption") == world.states("i-000001")[-1][1:]


def test_nodes_of_the_warm_up_take_no_time_and_no_luck() -> None:
    slow = Delay(distribution="exponential", mean_s=50)
    world = World(warming_up=True, request=slow, boot=slow, failure_rate=1, spot_interruptions_per_hour=3600)
    world.cloud.start_head({})
    call = world.cloud.begin_launch("x86", 1)
    world.cloud.finish_launch(call, {})
    world.loop.run_until(1000)

    assert (0.0, NodeLatencies()) == (call.seconds, call.machines[0].latencies)
    assert ([(0.0, "i-000002")], []) == (world.booted, world.gone)


def test_after_the_warm_up_the_cloud_takes_back_workers_but_never_the_head() -> None:
    world = World(warming_up=True, spot_interruptions_per_hour=3600)
    world.cloud.start_head({})
    world.launch()
    world.cloud.end_warm_up()
    world.loop.run_until(FOREVER_S)

    assert ["i-000001"] == list(world.cloud.machines)


def test_the_first_node_after_the_warm_up_has_the_luck_of_the_first() -> None:
    boot = Delay(distribution="exponential", mean_s=50)
    world = World(warming_up=True, boot=boot)
    world.launch(2)
    world.cloud.end_warm_up()
    call = world.cloud.begin_launch("x86", 1)

    assert LaunchModel(boot=boot).latencies(0, "x86", 0) == call.machines[0].latencies
