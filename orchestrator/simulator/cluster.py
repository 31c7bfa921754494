"""A simulated Ray: nodes that join, run tasks, become idle, drain and die, and the GCS's view of them."""

import random
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from orchestrator.model.group import Group
from orchestrator.model.ray_latencies import RayModel
from orchestrator.rayapi.virtual.world import Pending, RayNodeView
from orchestrator.simulator.loop import EventLoop
from orchestrator.simulator.machine import SimulatedMachine
from orchestrator.simulator.placement import best_node
from orchestrator.simulator.task_queue import UNITS, Batch, TaskQueue
from orchestrator.simulator.trace_recorder import Recorder

# The number of dead nodes that Ray's GCS keeps: RAY_maximum_gcs_dead_node_cached_count.
DEAD_NODES_KEPT = 1000


@dataclass(slots=True, eq=False)
class SimulatedNode:
    """A Ray node on a machine, the `number`-th that joined. Amounts are in Ray's units.

    `queues` are those whose tasks an empty node of its type could run; `tasks` is the number of those that run.
    """

    machine: SimulatedMachine
    view: RayNodeView
    number: int
    total: Mapping[str, int]
    free: dict[str, int]
    queues: Sequence[TaskQueue]
    worker_start_s: float
    tasks: int = 0
    workers: int = 0
    running: dict[int, "Run"] = field(default_factory=dict)

    @property
    def is_head(self) -> bool:
        """True for the head."""
        return self.view.is_head

    @property
    def accepts(self) -> bool:
        """True if tasks may start on it."""
        return self.view.status in ("running", "idle")

    def used(self) -> dict[str, float]:
        """Return the resources in use."""
        return {
            name: (total - self.free[name]) / UNITS for name, total in self.total.items() if self.free[name] < total
        }


@dataclass(slots=True, eq=False)
class Run:
    """Equal tasks that run together on one node."""

    queue: TaskQueue
    batch: Batch
    started: float


class Cluster:
    """The nodes of a simulated Ray and their tasks.

    A worker that ends a task takes the next one of its queue at once, as Ray's leases do. Other tasks are placed by
    Ray's hybrid policy; where all that wait have room, the node that has been free longest comes first. `ended(group,
    count)` is called when tasks end. `epoch` is virtual second 0 in UNIX seconds.
    """

    def __init__(
        self,
        groups: Iterable[Group],
        model: RayModel,
        seed: int,
        loop: EventLoop,
        recorder: Recorder,
        epoch: float,
        ended: Callable[[Group, int], None],
    ) -> None:
        self._model = model
        self._seed = seed
        self._loop = loop
        self._recorder = recorder
        self._epoch = epoch
        self._ended = ended
        rng = random.Random(f"ray:{seed}")
        self._demand_lag_s = model.demand_lag.sample(rng)
        self._overhead_s = model.task_overhead.sample(rng)
        self._placement = random.Random(f"placement:{seed}")
        self._queues: dict[object, TaskQueue] = {}
        self._queue_of: dict[str, TaskQueue] = {}
        for group in groups:
            queue = TaskQueue.of(group)
            key = queue.needs.key, queue.reuses_workers
            self._queue_of[group.name] = self._queues.setdefault(key, queue)
        self.queues = tuple(self._queues.values())
        # The nodes that may have room for tasks of a queue, in the order in which they got it.
        self._open: dict[TaskQueue, dict[bytes, SimulatedNode]] = {queue: {} for queue in self.queues}
        self._nodes: dict[bytes, SimulatedNode] = {}
        self._dead: deque[SimulatedNode] = deque(maxlen=DEAD_NODES_KEPT)
        self._of_machine: dict[str, SimulatedNode] = {}
        self._idle: dict[bytes, float] = {}
        self._usage: dict[str, list[float]] = {}
        self._running = 0
        self._runs = 0
        self._view_due: float | None = None
        self._unseen: set[SimulatedNode] = set()
        self.changes = 0
        self.rejected_drains = 0

    @property
    def pending(self) -> int:
        """The number of tasks that wait."""
        return sum(queue.pending for queue in self.queues)

    @property
    def visible(self) -> int:
        """The number of waiting tasks that the GCS knows."""
        return sum(queue.visible for queue in self.queues)

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
        total = {name: round(amount * UNITS) for name, amount in kind.resources.items()}
        queues = [queue for queue in self.queues if kind.fits(queue.needs.resources, queue.needs.labels)]
        worker_start_s = self._model.worker_start.sample(rng)
        node = SimulatedNode(machine, view, number, total, dict(total), queues, worker_start_s)
        self._nodes[node_id] = node
        self._of_machine[machine.machine_id] = node
        self._usage.setdefault(kind.name, [0.0, 0.0])[1] += kind.cpus
        self._recorder.node(machine, "running")
        self.changes += 1
        if self._fill(node):
            self._load_changed()
        if not node.tasks:
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
        for run in lost:
            self._use(node, run.queue, -run.batch.count)
        self._usage[node.view.node_type][1] -= node.machine.kind.cpus
        self._idle.pop(node.view.node_id, None)
        node.view.status = "dead"
        node.view.idle_since = None
        self._changed(node)
        self._nodes.pop(node.view.node_id, None)
        self._close(node)
        self._dead.append(node)
        for run in reversed(lost):
            run.queue.put_back(run.batch)
        if lost:
            self._load_changed()
            for queue in dict.fromkeys(run.queue for run in lost):
                self._assign(queue)
        self._recorder.load_changed()

    def drain_if_idle(self, node_id: bytes) -> bool:
        """Drain a node if it runs no task. Returns False if it does."""
        node = self._nodes.get(node_id)
        if node is None or node.view.status == "draining":
            return True
        if node.tasks:
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
        self._close(node)
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
        return self._of_machine[machine.machine_id].tasks

    def busy(self) -> bool:
        """Return whether any task runs."""
        return self._running > 0

    def views(self) -> Iterable[RayNodeView]:
        """Yield the nodes that the GCS knows: the living ones, and those that died recently."""
        yield from (node.view for node in self._dead)
        yield from (node.view for node in self._nodes.values())

    # Tasks

    def submit(self, group: Group, seconds: float, count: int) -> None:
        """Queue arriving tasks of a group, which last `seconds`."""
        queue = self._queue_of[group.name]
        queue.append(Batch(group, self._loop.now, seconds, count))
        self._assign(queue)
        self._load_changed()

    def _assign(self, queue: TaskQueue) -> None:
        """Start as many tasks of a queue as there is room for."""
        before = queue.pending
        while queue.pending and (room := self._room(queue)):
            if sum(room.values()) <= queue.pending:
                for node, count in room.items():
                    self._place(node, queue, count)
            else:
                self._place(self._chosen(queue, [*room]), queue, 1)
        if queue.pending != before:
            self._load_changed()

    def _chosen(self, queue: TaskQueue, nodes: Sequence[SimulatedNode]) -> SimulatedNode:
        """Return the node for the next task or actor of a queue. Ray puts an actor that needs nothing anywhere."""
        if not queue.amounts and not queue.reuses_workers:
            return self._placement.choice(nodes)
        wants_gpu = "GPU" in queue.amounts
        return best_node(nodes, wants_gpu=wants_gpu, nodes_in_all=len(self._nodes), rng=self._placement)

    def _room(self, queue: TaskQueue) -> dict[SimulatedNode, int]:
        """Return the nodes that have room for tasks of a queue, and for how many."""
        room: dict[SimulatedNode, int] = {}
        full = []
        for node_id, node in self._open[queue].items():
            if count := queue.fitting(node.free):
                room[node] = count
            else:
                full.append(node_id)
        for node_id in full:
            del self._open[queue][node_id]
        return room

    def _fill(self, node: SimulatedNode) -> bool:
        """Open a node that has room, and start waiting tasks on it. Return whether any has started."""
        started = False
        for queue in node.queues:
            count = queue.fitting(node.free)
            if queue.pending and count:
                self._place(node, queue, min(count, queue.pending))
                started = True
        for queue in node.queues:
            if queue.fitting(node.free):
                self._open[queue][node.view.node_id] = node
        return started

    def _close(self, node: SimulatedNode) -> None:
        for queue in node.queues:
            self._open[queue].pop(node.view.node_id, None)

    def _place(self, node: SimulatedNode, queue: TaskQueue, count: int) -> None:
        self._start(node, queue, count)
        self._changed(node)

    def _start(self, node: SimulatedNode, queue: TaskQueue, count: int) -> None:
        """Start tasks on a node: first on its idle worker processes, then on new ones."""
        if node.view.status == "idle":
            node.view.status = "running"
            node.view.idle_since = None
            self._idle.pop(node.view.node_id, None)
            self._recorder.node(node.machine, "running", "tasks")
        ready = node.workers - node.tasks
        self._use(node, queue, count)
        node.workers = max(node.workers, node.tasks)
        while count:
            batch = queue.take(min(ready, count) if ready else count)
            delay = self._overhead_s + (0.0 if ready else node.worker_start_s)
            ready -= batch.count if ready else 0
            count -= batch.count
            self._run(node, Run(queue, batch, self._loop.now + delay))

    def _run(self, node: SimulatedNode, run: Run) -> None:
        self._runs += 1
        number = self._runs
        node.running[number] = run
        self._loop.call_at(run.started + run.batch.seconds, lambda: self._end(node, number))

    def _end(self, node: SimulatedNode, number: int) -> None:
        run = node.running.pop(number, None)
        if run is None:
            return  # the node died before the end, and the tasks were queued again
        queue, batch = run.queue, run.batch
        self._recorder.tasks(node.machine, batch.group, batch.submitted, run.started, batch.count)
        self._use(node, queue, -batch.count)
        again = min(batch.count, queue.pending) if queue.reuses_workers and node.accepts else 0
        if not queue.reuses_workers:  # an actor's worker ends with it
            node.workers -= batch.count
        if again:
            self._start(node, queue, again)
        if node.accepts and again < batch.count:
            self._fill(node)
        self._load_changed()
        if not node.tasks and node.view.status == "running":
            self._become_idle(node)
        self._recorder.load_changed()
        self._ended(batch.group, batch.count)

    # The GCS's view of demand and use

    def _load_changed(self) -> None:
        """Update the GCS's view after the lag. Changes at the same virtual time count as one.

        The GCS asks each node once a second for its waiting tasks and its free resources at once. So a task is never
        seen both waiting and running. Of a node that has joined, the GCS knows all resources at once, as free.
        """
        self._recorder.load_changed()
        due = self._loop.now + self._demand_lag_s
        if not self._demand_lag_s:
            self._see(self._pending_to_see(), self._use_to_see())
        elif self._view_due != due:
            self._view_due = due
            self._loop.call_later(0.0, lambda: self._send_load(due))

    def _send_load(self, due: float) -> None:
        self._view_due = None  # another node may be lost at this same virtual time
        counts, used = self._pending_to_see(), self._use_to_see()
        self._loop.call_at(due, lambda: self._see(counts, used))

    def _pending_to_see(self) -> list[int]:
        return [queue.pending for queue in self.queues]

    def _use_to_see(self) -> dict[SimulatedNode, dict[str, float]]:
        used = {node: node.used() for node in self._unseen}
        self._unseen.clear()
        return used

    def _see(self, counts: Iterable[int], used: Mapping[SimulatedNode, Mapping[str, float]]) -> None:
        for queue, count in zip(self.queues, counts, strict=True):
            queue.visible = count
        for node, resources in used.items():
            if node.view.used != resources:
                node.view.used = resources
                self._changed(node)
        self._recorder.load_changed()

    def demand(self) -> list[Pending]:
        """Return the waiting tasks that the GCS knows, by what they need."""
        return [Pending(queue.needs, queue.visible) for queue in self.queues if queue.visible]

    def usage(self) -> dict[str, tuple[float, float]]:
        """Return CPUs in use and in total, by node type."""
        return {name: (used / UNITS, total) for name, (used, total) in self._usage.items() if total}

    def _use(self, node: SimulatedNode, queue: TaskQueue, tasks: int) -> None:
        for name, amount in queue.amounts.items():
            node.free[name] -= amount * tasks
        node.tasks += tasks
        self._running += tasks
        self._unseen.add(node)
        self._usage[node.view.node_type][0] += queue.amounts.get("CPU", 0) * tasks
