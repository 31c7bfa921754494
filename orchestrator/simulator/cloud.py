"""A simulated cloud: machines are requested, allocated, booted and terminated, or refused, or reclaimed."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from functools import partial

from orchestrator.model.cluster import ClusterShape, NodeType
from orchestrator.model.latency import LaunchModel, NodeLatencies
from orchestrator.rayapi.virtual.world import LaunchRefused, no_capacity, request_failed
from orchestrator.simulator.loop import EventLoop
from orchestrator.simulator.machine import Call, SimulatedMachine
from orchestrator.simulator.trace_recorder import Recorder

_FOREVER_S = 10 * 365 * 86_400.0


class Cloud:
    """A cloud with the latencies, refusals and capacities of a `LaunchModel`.

    `booted(machine)` is called when Ray can be started on a machine, `ended(machine)` when it has ended.
    """

    def __init__(
        self,
        shape: ClusterShape,
        seed: int,
        loop: EventLoop,
        recorder: Recorder,
        booted: Callable[[SimulatedMachine], None],
        ended: Callable[[SimulatedMachine], None],
        latencies: Callable[[str, int], NodeLatencies] | None = None,
    ) -> None:
        self._shape = shape
        self._launch: LaunchModel = shape.launch
        self._seed = seed
        self._loop = loop
        self._recorder = recorder
        self._booted = booted
        self._ended = ended
        self._latencies = latencies or (lambda node_type, index: self._launch.latencies(seed, node_type, index))
        self._requested: Counter[str] = Counter()
        self._calls: Counter[str] = Counter()
        self._created = 0
        self._existing: Counter[str] = Counter()
        self.machines: dict[str, SimulatedMachine] = {}
        self.changes = 0
        self.ending = 0
        self.warming_up = True

    def start_head(self, tags: Mapping[str, str]) -> SimulatedMachine:
        """Create the head, already booted."""
        head = self._new(self._shape.head, NodeLatencies(), float("inf"), is_head=True)
        head.tags.update(tags)
        head.booted = True
        self.machines[head.machine_id] = head
        return head

    def _new(
        self, kind: NodeType, latencies: NodeLatencies, lifetime_s: float, *, is_head: bool = False
    ) -> SimulatedMachine:
        self._created += 1
        number = self._created
        return SimulatedMachine(
            machine_id=f"i-{number:06d}",
            kind=kind,
            is_head=is_head,
            ip=f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}",
            latencies=latencies,
            lifetime_s=lifetime_s,
        )

    def begin_launch(self, node_type: str, count: int) -> Call:
        """Send a request; its machines count as requested from now on."""
        kind = self._shape.node_type(node_type)
        assert kind is not None
        if self.warming_up:
            # The baseline isn't part of the trial: its nodes have no latencies and use no random numbers of the trial.
            machines = [self._new(kind, NodeLatencies(), float("inf")) for _ in range(count)]
            return Call(0.0, machines, False)
        first = self._requested[node_type]
        self._requested[node_type] += count
        self._calls[node_type] += 1
        machines = [
            self._new(kind, self._latencies(node_type, index), self._launch.lifetime_s(self._seed, node_type, index))
            for index in range(first, first + count)
        ]
        for machine in machines:
            self._recorder.node(machine, "requested")
        fails = self._launch.call_fails(self._seed, node_type, self._calls[node_type])
        return Call(max(machine.latencies.request for machine in machines), machines, fails)

    def finish_launch(self, call: Call, tags: Mapping[str, str]) -> None:
        """Answer a request as EC2 does with a minimum of one: grant what is left of the type, or refuse if none is."""
        self.changes += 1
        kind = call.machines[0].kind
        if call.fails:
            self._refuse(call.machines, request_failed())
        granted = self._launch.granted(kind.name, len(call.machines), self._existing[kind.name])
        if granted == 0:
            self._refuse(call.machines, no_capacity(kind.name))
        for machine in call.machines[granted:]:
            self._recorder.node(machine, "failed", "launch", no_capacity(kind.name).description)
        for machine in call.machines[:granted]:
            machine.tags.update(tags)
            self.machines[machine.machine_id] = machine
            self._existing[kind.name] += 1
            self._recorder.node(machine, "allocated")
            machine.boots_at = self._loop.now + machine.latencies.boot
            self._loop.call_later(machine.latencies.boot, partial(self._boot, machine))
            self._limit_life(machine)

    def end_warm_up(self) -> None:
        """End the warm-up: from now on nodes have latencies, and the cloud may reclaim any node, also existing ones."""
        self.warming_up = False
        for number, machine in enumerate(self.machines.values(), start=1):
            if not machine.is_head:
                machine.lifetime_s = self._launch.lifetime_s(self._seed, machine.node_type, -number)
                self._limit_life(machine)

    def _limit_life(self, machine: SimulatedMachine) -> None:
        if machine.lifetime_s < _FOREVER_S:
            self._loop.call_later(machine.lifetime_s, partial(self._interrupt, machine))

    def _refuse(self, machines: Iterable[SimulatedMachine], answer: LaunchRefused) -> None:
        for machine in machines:
            self._recorder.node(machine, "failed", "launch", answer.description)
        raise answer

    def _boot(self, machine: SimulatedMachine) -> None:
        if machine.machine_id in self.machines:
            machine.booted = True
            self.changes += 1
            self._booted(machine)

    def _interrupt(self, machine: SimulatedMachine) -> None:
        self.reclaim(machine, "spot_interruption", "the cloud took the machine back")

    def reclaim(self, machine: SimulatedMachine, cause: str, detail: str) -> None:
        """Take a machine back at once, unless it has already ended."""
        if machine.machine_id in self.machines:
            self._remove(machine)
            self._existing[machine.node_type] -= 1
            self._recorder.node(machine, "failed", cause, detail)
            self._ended(machine)

    def terminate(self, machine_ids: Iterable[str]) -> None:
        """Terminate machines: they leave the list at once, and end after their `terminate` latency."""
        for machine in [self.machines[machine_id] for machine_id in machine_ids if machine_id in self.machines]:
            machine.cause = machine.cause or "scale_down"
            self._remove(machine)
            self._ended(machine)
            if machine.state != "draining":
                self._recorder.node(machine, "draining", machine.cause)
            self.ending += 1
            self._loop.call_later(machine.latencies.terminate, partial(self._end, machine))

    def _end(self, machine: SimulatedMachine) -> None:
        self.ending -= 1
        self._existing[machine.node_type] -= 1
        self._recorder.node(machine, "terminated", machine.cause)

    def _remove(self, machine: SimulatedMachine) -> None:
        del self.machines[machine.machine_id]
        self.changes += 1
