"""The recorder: what it writes, at which time of the trace."""

from orchestrator.model.events import DemandEvent, Event, NodeEvent, UsageEvent
from orchestrator.model.latency import NodeLatencies
from orchestrator.model.task_needs import Needs
from orchestrator.rayapi.virtual.world import Pending
from orchestrator.simulator.loop import EventLoop
from orchestrator.simulator.machine import SimulatedMachine
from orchestrator.simulator.trace_recorder import Recorder
from tests.support.builders import X86

ZERO = 946_684_800.0


class World:
    """A recorder from whose trace tasks are submitted at virtual second 20."""

    def __init__(self) -> None:
        self.loop = EventLoop()
        self.events: list[Event] = []
        self.pending, self.usage = 0, {"x86": (0.0, 2.0)}
        self.recorder = Recorder(self.events.append, lambda: self.loop.now, self.loop.call_at)
        self.machine = SimulatedMachine("i-000001", X86, False, "10.0.0.1", NodeLatencies(), float("inf"))

    def begin(self, *baseline: SimulatedMachine) -> None:
        self.recorder.begin(20.0, list(baseline), lambda: (self.demand(), self.usage))

    def demand(self) -> list[Pending]:
        return [Pending(Needs({"CPU": 2.0}), self.pending)] if self.pending else []

    def change(self, when: float, pending: int, used: float = 0.0) -> None:
        self.loop.run_until(when)
        self.pending, self.usage = pending, {"x86": (used, 2.0)}
        self.recorder.load_changed()

    def loads(self) -> list[tuple[float, object]]:
        return [
            (event.t - ZERO, event.pending if isinstance(event, DemandEvent) else event.cpus)
            for event in self.events
            if isinstance(event, DemandEvent | UsageEvent)
        ]


def test_a_time_of_the_trace_is_2000_and_what_has_passed_since_the_submission() -> None:
    world = World()
    world.begin()

    assert (ZERO, ZERO + 1.5, ZERO - 20) == tuple(world.recorder.trace_time(t) for t in (20.0, 21.5, 0.0))


def test_before_the_beginning_only_the_state_is_kept_and_then_written_as_baseline() -> None:
    world = World()
    world.loop.run_until(5)
    world.recorder.node(world.machine, "idle")
    assert [] == world.events

    world.loop.run_until(19)
    world.begin(world.machine)
    (event,) = world.events
    assert isinstance(event, NodeEvent)
    assert (ZERO - 1, ZERO - 15, "idle", "baseline") == (event.t, event.since, event.state, event.cause)


def test_a_node_event_knows_the_state_before() -> None:
    world = World()
    world.loop.run_until(20)
    world.begin()
    world.recorder.node(world.machine, "requested")
    world.loop.run_until(23)
    world.recorder.node(world.machine, "allocated")
    states = [(e.t - ZERO, e.previous, e.state) for e in world.events if isinstance(e, NodeEvent)]

    assert [(0, None, "requested"), (3, "requested", "allocated")] == states


def test_demand_and_usage_are_written_every_half_second_and_only_when_changed() -> None:
    world = World()
    world.begin()
    world.change(20.1, pending=3)
    world.change(20.2, pending=4)
    world.change(20.7, pending=4, used=2.0)
    world.change(21.2, pending=4, used=2.0)
    world.change(21.5, pending=0, used=2.0)
    world.loop.run_until(30)

    assert [(0.5, {"CPU=2": 4}), (0.5, {"x86": (0, 2)}), (1.0, {"x86": (2, 2)}), (2.0, {})] == world.loads()


def test_before_the_submission_the_next_look_is_at_most_half_a_second_away() -> None:
    world = World()
    world.begin()
    world.change(19.7, pending=3)
    world.loop.run_until(30)

    assert 0.0 == world.loads()[0][0]
