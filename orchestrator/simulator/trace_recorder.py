"""Turns what happens in a simulated world into the events of a trace."""

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from orchestrator.model.events import (
    DemandEvent,
    Emit,
    Event,
    FaultEvent,
    NodeEvent,
    NodeState,
    Phase,
    PhaseEvent,
    SettingsEvent,
    TaskEvent,
    UsageEvent,
)
from orchestrator.model.fault import FaultKind
from orchestrator.model.snapshot import Demand

if TYPE_CHECKING:
    from orchestrator.simulator.machine import SimulatedMachine

# A simulated trial's tasks are submitted at 2000-01-01T00:00:00Z, so that its times read as elapsed ones.
SUBMISSION = 946_684_800.0
# As often as the observer looks at a real cluster.
LOAD_INTERVAL_S = 0.5


class Recorder:
    """Writes to `emit` once it was told when the tasks are submitted; before, it only keeps the nodes' states."""

    def __init__(self, emit: Emit, now: Callable[[], float], call_at: Callable[[float, Callable[[], None]], None]):
        self._emit = emit
        self._now = now
        self._call_at = call_at
        self._offset: float | None = None
        self._load_due = False
        self._read_load: Callable[[], tuple[int, Mapping[str, float], Mapping[str, tuple[float, float]]]] | None = None
        self._last_load: tuple[object, object] = (None, None)

    @property
    def recording(self) -> bool:
        """Whether events are written down by now."""
        return self._offset is not None

    def trace_time(self, virtual: float) -> float:
        """A virtual time as the trace's UNIX seconds."""
        assert self._offset is not None
        return round(SUBMISSION + virtual - self._offset, 6)

    def begin(
        self,
        submission: float,
        baseline: "list[SimulatedMachine]",
        read_load: Callable[[], tuple[int, Mapping[str, float], Mapping[str, tuple[float, float]]]],
    ) -> None:
        """Record from now on; the tasks will be submitted at `submission`. `read_load` tells demand and usage."""
        self._offset = submission
        self._read_load = read_load
        for machine in baseline:
            self._node(
                machine, machine.state, self._now(), None, "baseline", since=self.trace_time(machine.since or 0.0)
            )

    # Events

    def phase(self, phase: Phase, virtual: float | None = None, detail: str = "") -> None:
        """The trial enters a phase, now or at a virtual time."""
        self._emit(
            PhaseEvent(t=self.trace_time(self._now() if virtual is None else virtual), phase=phase, detail=detail)
        )

    def settings(self, in_force: dict[str, Any], *, as_wanted: bool) -> None:
        """What Ray's autoscaler acts on."""
        self._emit(SettingsEvent(t=self.trace_time(self._now()), in_force=in_force, as_wanted=as_wanted))

    def node(self, machine: "SimulatedMachine", state: NodeState, cause: str = "", detail: str = "") -> None:
        """A machine enters a state now."""
        previous = None if machine.since is None else machine.state
        machine.state, machine.since = state, self._now()
        if self._offset is not None:
            self._node(machine, state, self._now(), previous, cause, detail)

    def _node(
        self,
        machine: "SimulatedMachine",
        state: NodeState,
        virtual: float,
        previous: NodeState | None,
        cause: str = "",
        detail: str = "",
        since: float | None = None,
    ) -> None:
        kind = machine.kind
        self._emit(
            NodeEvent(
                t=self.trace_time(virtual),
                node=machine.machine_id,
                node_type=kind.name,
                arch=kind.arch,
                instance_type=kind.instance_type,
                cpus=kind.cpus,
                is_head=machine.is_head,
                state=state,
                previous=previous,
                cause=cause,
                detail=detail,
                ray_node_id=machine.ray_node_id,
                since=since,
            )
        )

    def fault(self, machine: "SimulatedMachine", kind: FaultKind, detail: str, tasks: int | None) -> None:
        """A fault hits a machine now."""
        self._emit(
            FaultEvent(
                t=self.trace_time(self._now()),
                kind=kind,
                node=machine.machine_id,
                node_type=machine.node_type,
                arch=machine.kind.arch,
                detail=detail,
                tasks=tasks,
            )
        )

    def write(self, event: Event) -> None:
        """An event that is complete."""
        self._emit(event)

    def tasks(self, machine: "SimulatedMachine", cpus: float, submitted: float, started: float, count: int) -> None:
        """Tasks alike end now."""
        kind, end = machine.kind, self.trace_time(self._now())
        self._emit(
            TaskEvent(
                t=end,
                node=machine.ray_node_id,
                node_type=kind.name,
                arch=kind.arch,
                cpus=cpus,
                submitted=self.trace_time(submitted),
                started=self.trace_time(started),
                ended=end,
                count=count,
            )
        )

    def load_changed(self) -> None:
        """Demand or usage may differ from now on: written down at the next look, as an observer would."""
        if self._load_due or self._offset is None:
            return
        self._load_due = True
        looks = math.floor((self._now() - self._offset) / LOAD_INTERVAL_S) + 1
        self._call_at(self._offset + looks * LOAD_INTERVAL_S, self._look)

    def _look(self) -> None:
        self._load_due = False
        assert self._read_load is not None
        count, resources, usage = self._read_load()
        shape = Demand(resources, count).shape
        demand = {shape: count} if count else {}
        t = self.trace_time(self._now())
        if demand != self._last_load[0]:
            self._emit(DemandEvent(t=t, pending=demand, pending_cpus=count * resources.get("CPU", 0.0)))
        if usage != self._last_load[1]:
            self._emit(UsageEvent(t=t, cpus=dict(usage)))
        self._last_load = (demand, dict(usage))
