"""The fault injector of a real cluster: a thread that injects a workload's faults and recovers nodes from them.

Nothing here may fail the trial. If a fault can't be injected or undone, a note says so and makes the trial invalid.
"""

import logging
import math
import threading
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from orchestrator.faults.schedule import FaultSchedule, Injection, Target
from orchestrator.logs import suppressed
from orchestrator.model.events import Emit, FaultEvent, NoteEvent
from orchestrator.model.fault import Fault, FaultKind

_log = logging.getLogger(__name__)

# The longest time until a node that joins is noticed, if a fault waits for one.
POLL_S = 0.5
# The longest wait for a Docker daemon that doesn't answer when the trial ends.
STOP_S = 30.0


class NodeEnded(Exception):
    """The target has just ended by itself; another node will do."""


class InjectableCluster(Protocol):
    """A cluster that faults can be injected into. Called by one thread at a time."""

    def targets(self) -> Sequence[Target]:
        """Return the nodes that run Ray now (`running` or `idle`), without the head."""
        ...

    def inject(self, kind: FaultKind, node: str) -> None:
        """Inject a fault: `kill` and `spot` end the machine, `pause` stops its processes, `partition` cuts it off.

        Raises NodeEnded for a node that isn't there any more. Anything else makes the trial invalid, with its text.
        """
        ...

    def recover(self, kind: FaultKind, node: str) -> None:
        """Let a paused node go on, or connect it again. Do nothing if the node has ended or needs no recovery."""
        ...


class FaultInjector:
    """The faults of one trial.

        injector = FaultInjector(trial.workload.faults, trial.seed, cluster, trace.emit)
        injector.start(t0)   # when the first task was submitted, in UNIX seconds
        injector.stop()      # when the last task has ended, and wherever the trial breaks off

    `stop` recovers the nodes that are still paused or cut off: faults belong to the measured window, and the cluster
    has to return to its minimum size. Both may be called again; `stop` may come first. Nothing starts after `stop`.
    """

    def __init__(
        self,
        faults: Sequence[Fault],
        seed: int,
        cluster: InjectableCluster,
        emit: Emit,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._faults = faults
        self._schedule = FaultSchedule(faults, seed)
        self._cluster = cluster
        self._emit = emit
        self._clock = clock
        self._t0: float | None = None
        self._held: dict[str, tuple[float, FaultEvent]] = {}
        self._said: set[str] = set()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self, t0: float) -> None:
        """Begin; faults count their seconds from `t0`, which may be a moment ago."""
        if self._faults and self._t0 is None and not self._stopping.is_set():
            self.begin(t0)
            self._thread = threading.Thread(target=self._run, name="orchestrate-faults", daemon=True)
            self._thread.start()

    def begin(self, t0: float) -> None:
        """Begin without a thread: the caller of `step` is the clock."""
        self._t0 = t0

    def stop(self) -> None:
        """End the thread, recover the nodes still paused or cut off, and note which faults never hit a node."""
        if self._stopping.is_set():
            return
        self._stopping.set()
        if self._t0 is None:
            return
        if self._thread is not None:
            self._thread.join(STOP_S)
            if self._thread.is_alive():
                self._failed(f"after {STOP_S:g} s a fault was still being injected")
        for node in list(self._held):
            self._recover(node)
        for note in self._schedule.missed(self._clock()):
            self._tell(note)

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._stopping.wait(min(self.step(), threading.TIMEOUT_MAX))

    def step(self) -> float:
        """Inject and undo what is due. Return after how many seconds there may be more."""
        assert self._t0 is not None
        for node in [node for node, (until, _) in self._held.items() if until <= self._clock()]:
            self._recover(node)
        elapsed = self._clock() - self._t0
        try:
            # A node under one fault is left alone by the others, so that each one's consequences are its own.
            targets = [target for target in self._cluster.targets() if target.node not in self._held]
        except Exception as error:
            _log.debug("the nodes can't be listed", exc_info=True)
            self._failed(f"the nodes can't be listed: {error}")
            return POLL_S
        for injection in self._schedule.due(elapsed, targets):
            if self._stopping.is_set():
                break
            self._inject(injection)
        upcoming = min([self._t0 + self._schedule.next_s, *(until for until, _ in self._held.values())])
        poll = POLL_S if self._schedule.waits_for_nodes else math.inf
        return max(0.0, min(poll, upcoming - self._clock()))

    def _inject(self, injection: Injection) -> None:
        _, fault, target = injection
        began = self._clock()
        try:
            self._cluster.inject(fault.kind, target.node)
        except NodeEnded:
            _log.info("%s waits for another node: %s has ended", fault, target.node)
            self._schedule.put_back(injection)
            return
        except Exception as error:
            _log.warning("%s on %s failed", fault, target.node, exc_info=True)
            self._failed(f"{fault} on {target.node}: {error}")
            if fault.lasts:  # it may have taken effect in part
                with suppressed(_log, f"undoing {fault} on {target.node}", Exception):
                    self._cluster.recover(fault.kind, target.node)
            return
        until = began + fault.for_s if fault.for_s is not None else None
        event = FaultEvent(
            t=began,
            kind=fault.kind,
            node=target.node,
            node_type=target.node_type,
            arch=target.arch,
            detail=str(fault),
            until=until,
            tasks=target.tasks,
        )
        self._tell(event)
        if fault.lasts:
            self._held[target.node] = (math.inf if until is None else until, event)
            if self._stopping.is_set():  # `stop` may have given up on this thread
                self._recover(target.node)

    def _recover(self, node: str) -> None:
        _, event = self._held.pop(node, (0.0, None))
        if event is None:
            return
        try:
            self._cluster.recover(event.kind, node)
        except Exception as error:
            _log.warning("%s on %s couldn't be undone", event.detail, node, exc_info=True)
            self._failed(f"{event.detail} on {node} couldn't be undone: {error}")
            return
        end = {"t": self._clock(), "stage": "end", "since": event.t, "until": None, "tasks": None}
        self._tell(event.model_copy(update=end))

    def _failed(self, problem: str) -> None:
        """Note a problem once: a daemon that is down would cause the same note twice a second."""
        if problem not in self._said:
            self._said.add(problem)
            self._tell(NoteEvent(t=self._clock(), kind="fault_failed", text=" ".join(problem.split())[:500]))

    def _tell(self, event: FaultEvent | NoteEvent) -> None:
        # On a full disk, the trial fails by its other events.
        with suppressed(_log, "writing an event", Exception):
            self._emit(event)
