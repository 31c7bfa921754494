"""A simulated Ray: nodes that join, run tasks, become idle, drain and die, and the GCS's view of them."""

import random
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from orchestrator.model.ray_latencies import RayModel
from orchestrator.model.workload import Workload
from orchestrator.rayapi.virtual.world import RayNodeView
from orchestrator.simulator.loop import EventLoop
from orchestrator.simulator.machine import SimulatedMachine
from orchestrator.simulator.trace_recorder import Recorder

# The number of dead nodes that Ray's GCS keeps: RAY_maximum_gcs_dead_node_cached_count.
DEAD_NODES_KEPT = 1000


@dataclass(slots=True, eq=False)
class SimulatedNode:
    """A Ray node on a machine; it can run `slots` of the workload's tasks at once, and runs `used_slots`."""

    machine: SimulatedMachine
    view: RayNodeView
    slots: int
    worker_start_s: float
    used_slots: int = 0
    workers: int = 0
    running: dict[int, "TaskGroup"] = field(default_factory=dict)

    @property
    def free(self) -> int:
        """The number of tasks that the node could start now."""
        return self.slots - self.used_slots if self.view.status in ("running", "idle") else 0


@dataclass(slots=True, eq=False)
class TaskGroup:
    """Tasks that were submitted together and run together on one node."""

    submitted: float
    started: float
    count: int


class Cluster:
    """The nodes of a simulated Ray and their tasks. Each task, in order, runs on the node that has been free longest.

    `all_done()` is called when the last task has ended. `epoch` is virtual second 0 in UNIX seconds.
    """

    def __init__(
        self,
        workload: Workload,
        model: RayModel,
        seed: int,
        loop: EventLoop,
        recorder: Recorder,
        epoch: float,
        all_done: Callable[[], None],
    ) -> None:
        self._workload = workload
        self._model = model
        self._seed = seed
        self._loop = loop
        self._recorder = recorder
        self._epoch = epoch
        self._all_done = all_done
        rng = random.Random(f"ray:{seed}")
        self._demand_lag_s = model.demand_lag.sample(rng)
        self._overhead_s = model.task_overhead.sample(rng)
        self._pending: deque[tuple[float, int]] = deque()
        self.pending = 0
        self.visible = 0
        self._left = workload.tasks
        self._nodes: dict[bytes, SimulatedNode] = {}
        self._dead: deque[SimulatedNode] = deque(maxlen=DEAD_NODES_KEPT)
        self._of_machine: dict[str, SimulatedNode] = {}
        self._free: dict[bytes, SimulatedNode] = {}
        self._idle: dict[bytes, float] = {}
        self._usage: dict[str, list[float]] = {}
        self._groups = 0
        self._view_due: float | None = None
        self._unseen: set[SimulatedNode] = set()
        self.task_resources: Mapping[str, float] = workload.needs[0].limiting
        self.changes = 0
        self.rejected_drains = 0

    # Nodes

    def join(self, machine: SimulatedMachine) -> None:
        """Add the node that has started on a machine."""
        number = int(machine.machine_id.removeprefix("i-"))
        node_id = number.to_bytes(28, "big")
        kind = machine.kind
        machine.ray_node_id = node_id.hex()
        view = RayNodeView(
            node_id,
            machine.machine_id,
            kind.name,
            machine.ip,
            machine.is_head,
            kind.resources,
            kind.labels_when_running,
            idle_since=self._epoch + self._loop.now,
        )
        rng = random.Random(f"worker:{self._seed}:{machine.machine_id}")
        slots = kind.slots(self.task_resources, self._workload.labels)
        slots = self._workload.tasks if slots is None else slots
        node = SimulatedNode(machine, view, slots, self._model.worker_start.sample(rng))
        self._nodes[node_id] = node
        self._of_machine[machine.machine_id] = node
        self._usage.setdefault(kind.name, [0.0, 0.0])[1] += kind.cpus
        self._recorder.node(machine, "running")
        self.changes += 1
        if slots:
            self._free[node_id] = node
            self._assign()
        if not node.used_slots:
            self._become_idle(node)
        self._recorder.load_changed()

    def _become_idle(self, node: SimulatedNode) -> None:
        node.view.status = "idle"
        node.view.idle_since = self._epoch + self._loop.now
        if not node.view.is_head:
            self._idle[node.view.node_id] = node.view.idle_since
        self._changed(node)
        self._recorder.node(node.machine, "idle", "no tasks")

    def _changed(self, node: SimulatedNode) -> None:
        node.view.revision += 1
        self.changes += 1

    def lose(self, machine: SimulatedMachine) -> None:
        """Remove the node of a machine that has ended, and queue its tasks again."""
        node = self._of_machine.pop(machine.machine_id, None)
        if node is not None and node.view.status != "dead":
            self._die(node)

    def _die(self, node: SimulatedNode) -> None:
        lost = list(node.running.values())
        node.running.clear()
        self._use(node, -node.used_slots)
        self._usage[node.view.node_type][1] -= node.machine.kind.cpus
        self._idle.pop(node.view.node_id, None)
        node.view.status = "dead"
        node.view.idle_since = None
        self._changed(node)
        self._nodes.pop(node.view.node_id, None)
        self._free.pop(node.view.node_id, None)
        self._dead.append(node)
        for group in reversed(lost):
            self._pending.appendleft((group.submitted, group.count))
            self.pending += group.count
        if lost:
            self._load_changed()
            self._assign()
        self._recorder.load_changed()

    def drain_if_idle(self, node_id: bytes) -> bool:
        """Drain a node if it runs no task. Returns False if it does."""
        node = self._nodes.get(node_id)
        if node is None or node.view.status == "draining":
            return True
        if node.used_slots:
            self.rejected_drains += 1
            return False
        self._drain(node, "idle")
        return True

    def stop(self, node_ids: Iterable[bytes]) -> list[bytes]:
        """Drain nodes, busy or idle. Returns the living ones."""
        found = [node for node_id in node_ids if (node := self._nodes.get(node_id)) is not None]
        for node in found:
            if node.view.status != "draining":
                self._drain(node, "idle" if node.view.status == "idle" else "scale_down")
        return [node.view.node_id for node in found]

    def _drain(self, node: SimulatedNode, cause: str) -> None:
        node.view.status = "draining"
        node.view.idle_since = None
        node.machine.cause = cause
        self._idle.pop(node.view.node_id, None)
        self._free.pop(node.view.node_id, None)
        self._changed(node)
        self._recorder.node(node.machine, "draining", cause)
        rng = random.Random(f"drain:{self._seed}:{node.machine.machine_id}")
        self._loop.call_later(self._model.drain.sample(rng), lambda: self._end_drain(node))

    def _end_drain(self, node: SimulatedNode) -> None:
        if node.view.status != "dead":
            self._die(node)

    def idle_since(self) -> Iterable[tuple[str, float]]:
        """Yield each idle worker's node type, and the start of its idle time in UNIX seconds."""
        for node_id, since in self._idle.items():
            yield self._nodes[node_id].view.node_type, since

    def alive(self) -> Counter[str]:
        """Return the number of living workers by node type, draining ones included."""
        return Counter(node.view.node_type for node in self._nodes.values() if not node.view.is_head)

    def tasks_on(self, machine: SimulatedMachine) -> int:
        """Return the number of tasks that run on a machine's node."""
        return self._of_machine[machine.machine_id].view.used_slots

    def busy(self) -> bool:
        """Return whether any task runs."""
        return any(used for used, _ in self._usage.values())

    def views(self) -> Iterable[RayNodeView]:
        """Yield the nodes that the GCS knows: the living ones, and those that died recently."""
        yield from (node.view for node in self._dead)
        yield from (node.view for node in self._nodes.values())

    # Tasks

    def submit(self, count: int) -> None:
        """Queue arriving tasks."""
        self._pending.append((self._loop.now, count))
        self.pending += count
        self._assign()
        self._load_changed()

    def _assign(self) -> None:
        """Start as many pending tasks as fit."""
        before = self.pending
        while self.pending and self._free:
            node_id, node = next(iter(self._free.items()))
            self._start(node, min(node.free, self.pending))
            self._changed(node)
            if not node.free:
                del self._free[node_id]
        if self.pending != before:
            self._load_changed()

    def _start(self, node: SimulatedNode, count: int) -> None:
        """Start tasks on a node: first on its idle worker processes, then on new ones."""
        if node.view.status == "idle":
            node.view.status = "running"
            node.view.idle_since = None
            self._idle.pop(node.view.node_id, None)
            self._recorder.node(node.machine, "running", "tasks")
        ready = node.workers - node.used_slots
        self._use(node, count)
        node.workers = max(node.workers, node.used_slots)
        self.pending -= count
        while count:
            submitted, waiting = self._pending[0]
            on_ready = min(ready, waiting, count)
            taken = on_ready or min(waiting, count)
            delay = self._overhead_s + (0.0 if on_ready else node.worker_start_s)
            ready -= on_ready
            count -= taken
            if taken == waiting:
                self._pending.popleft()
            else:
                self._pending[0] = (submitted, waiting - taken)
            self._run(node, TaskGroup(submitted, self._loop.now + delay, taken))

    def _run(self, node: SimulatedNode, group: TaskGroup) -> None:
        self._groups += 1
        number = self._groups
        node.running[number] = group
        self._loop.call_at(group.started + self._workload.seconds, lambda: self._end(node, number))

    def _end(self, node: SimulatedNode, number: int) -> None:
        group = node.running.pop(number, None)
        if group is None:
            return  # the node died before the end, and the tasks were queued again
        self._recorder.tasks(node.machine, self._workload.cpus, group.submitted, group.started, group.count)
        before = node.used_slots
        self._use(node, -group.count)
        self._left -= group.count
        if node.view.status == "running":
            again = min(group.count, self.pending)
            if again:
                self._start(node, again)
                self._load_changed()
            if node.free:
                self._free[node.view.node_id] = node
        if node.used_slots != before:
            self._load_changed()
        if not node.used_slots and node.view.status == "running":
            self._become_idle(node)
        self._recorder.load_changed()
        if not self._left:
            self._all_done()

    # The GCS's view of demand and use

    def _load_changed(self) -> None:
        """Update the GCS's view after the lag. Changes at the same virtual time count as one.

        The GCS asks each node once a second for its waiting tasks and its free resources at once. So a task is never
        seen both waiting and running. Of a node that has joined, the GCS knows all resources at once, as free.
        """
        self._recorder.load_changed()
        due = self._loop.now + self._demand_lag_s
        if not self._demand_lag_s:
            self._see(self.pending, self._use_to_see())
        elif self._view_due != due:
            self._view_due = due
            self._loop.call_later(0.0, lambda: self._send_load(due))

    def _send_load(self, due: float) -> None:
        self._view_due = None  # another node may be lost at this same virtual time
        count, used = self.pending, self._use_to_see()
        self._loop.call_at(due, lambda: self._see(count, used))

    def _use_to_see(self) -> dict[SimulatedNode, int]:
        used = {node: node.used_slots for node in self._unseen}
        self._unseen.clear()
        return used

    def _see(self, count: int, used: Mapping[SimulatedNode, int]) -> None:
        self.visible = count
        for node, slots in used.items():
            if node.view.used_slots != slots:
                node.view.used_slots = slots
                self._changed(node)
        self._recorder.load_changed()

    def usage(self) -> dict[str, tuple[float, float]]:
        """Return CPUs in use and in total, by node type."""
        cpus = self._workload.cpus
        return {name: (used * cpus, total) for name, (used, total) in self._usage.items() if total}

    def _use(self, node: SimulatedNode, slots: int) -> None:
        node.used_slots += slots
        self._unseen.add(node)
        self._usage[node.view.node_type][0] += slots
