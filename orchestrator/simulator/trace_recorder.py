"""A recorder of a simulated world's events, in the form of a trace."""

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
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
from orchestrator.model.group import Group
from orchestrator.rayapi.virtual.world import Pending

if TYPE_CHECKING:
    from orchestrator.simulator.machine import SimulatedMachine

# A simulated trial's tasks are submitted at 2000-01-01T00:00:00Z, so that its timestamps read as elapsed times.
SUBMISSION = 946_684_800.0
# The same as the observer's poll interval on a real cluster.
LOAD_INTERVAL_S = 0.5

ReadLoad = Callable[[], tuple[Sequence[Pending], Mapping[str, tuple[float, float]]]]
"""Returns the waiting tasks that the GCS knows, and CPUs in use and in total by node type."""


class Recorder:
    """A recorder that writes to `emit` after `begin`. Before that, it only tracks the states of nodes."""

    def __init__(
        self,
        emit: Emit,
        now: Callable[[], float],
        call_at: Callable[[float, Callable[[], None]], None],
        *,
        names_groups: bool = False,
    ) -> None:
        self._emit = emit
        self._names_groups = names_groups
        self._now = now
        self._call_at = call_at
        self._offset: float | None = None
        self._load_due = False
        self._read_load: ReadLoad | None = None
        self._last_load: tuple[object, object] = (None, None)

    @property
    def recording(self) -> bool:
        """True if events are written."""
        return self._offset is not None

    def trace_time(self, virtual: float) -> float:
        """Convert a virtual time to the trace's UNIX seconds."""
        assert self._offset is not None
        return round(SUBMISSION + virtual - self._offset, 6)

    def begin(
        self,
        submission: float,
        baseline: "list[SimulatedMachine]",
        read_load: ReadLoad,
    ) -> None:
        """Start recording. The tasks will be submitted at `submission`; `read_load` returns demand and usage."""
        self._offset = submission
        self._read_load = read_load
        for machine in baseline:
            self._node(
                machine, machine.state, self._now(), None, "baseline", since=self.trace_time(machine.since or 0.0)
            )

    # Events

    def phase(self, phase: Phase, virtual: float | None = None, detail: str = "") -> None:
        """Record that the trial enters a phase, now or at a virtual time."""
        self._emit(
            PhaseEvent(t=self.trace_time(self._now() if virtual is None else virtual), phase=phase, detail=detail)
        )

    def settings(self, in_force: dict[str, Any], *, as_wanted: bool) -> None:
        """Record the settings in force."""
        self._emit(SettingsEvent(t=self.trace_time(self._now()), in_force=in_force, as_wanted=as_wanted))

    def node(self, machine: "SimulatedMachine", state: NodeState, cause: str = "", detail: str = "") -> None:
        """Record that a machine enters a state now."""
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
        """Record that a fault hits a machine now."""
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
        """Record a complete event."""
        self._emit(event)

    def tasks(self, machine: "SimulatedMachine", group: Group, submitted: float, started: float, count: int) -> None:
        """Record that equal tasks of a group end now."""
        kind, end = machine.kind, self.trace_time(self._now())
        self._emit(
            TaskEvent(
                t=end,
                node=machine.ray_node_id,
                node_type=kind.name,
                arch=kind.arch,
                cpus=group.cpus,
                submitted=self.trace_time(submitted),
                started=self.trace_time(started),
                ended=end,
                count=count,
                **({"group": group.name} if self._names_groups else {}),
            )
        )

    def load_changed(self) -> None:
        """Schedule a record of demand and usage, which may have changed, at the next poll time of an observer."""
        if self._load_due or self._offset is None:
            return
        self._load_due = True
        polls = math.floor((self._now() - self._offset) / LOAD_INTERVAL_S) + 1
        self._call_at(self._offset + polls * LOAD_INTERVAL_S, self._record_load)

    def _record_load(self) -> None:
        self._load_due = False
        assert self._read_load is not None
        pending, usage = self._read_load()
        demand: Counter[str] = Counter()
        for each in pending:
            demand[each.needs.shape] += each.count
        t = self.trace_time(self._now())
        if demand != self._last_load[0]:
            self._emit(DemandEvent(t=t, pending=demand, pending_cpus=sum(each.cpus for each in pending)))
        if usage != self._last_load[1]:
            self._emit(UsageEvent(t=t, cpus=dict(usage)))
        self._last_load = (demand, dict(usage))
