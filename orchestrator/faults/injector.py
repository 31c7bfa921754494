"""Injects a workload's faults into a real cluster, beside the trial: a thread that strikes nodes and mends them again.

Nothing here may fail the trial. A fault that can't be injected or mended becomes a note, by which the trial is invalid.
"""

import contextlib
import math
import threading
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from orchestrator.faults.schedule import FaultSchedule, Strike, Victim
from orchestrator.model.events import Emit, FaultEvent, NoteEvent
from orchestrator.model.fault import Fault, FaultKind

# How soon a node that joins is known, where that matters.
POLL_S = 0.5
# An engine that doesn't answer is waited for no longer than this when the trial ends.
STOP_S = 30.0


class NodeGone(Exception):
    """The node to strike has just ended by itself; another one will do."""


class Target(Protocol):
    """A cluster whose nodes can be struck. Called by one thread at a time."""

    def victims(self) -> Sequence[Victim]:
        """The nodes that run Ray now (`running` or `idle`), without the head."""
        ...

    def inject(self, kind: FaultKind, node: str) -> None:
        """Strike: `kill` and `spot` end the machine at once, `pause` stops all its processes, `partition` cuts it off.

        Raises NodeGone for a node that isn't there any more. Anything else makes the trial invalid, with its text.
        """
        ...

    def mend(self, kind: FaultKind, node: str) -> None:
        """Let a paused node go on, or connect it again. A node that is gone, or needs no mending, is no error."""
        ...


class FaultInjector:
    """The faults of one trial.

        injector = FaultInjector(trial.workload.faults, trial.seed, target, trace.emit)
        injector.start(t0)   # when the first task was submitted, in UNIX seconds
        injector.stop()      # when the last task has ended, and wherever the trial breaks off

    What is still paused or cut off then is mended: faults belong to the measured window, and the cluster has to find
    back to its minimum size. Each may be called again, and `stop` without `start`; after `stop` nothing starts.
    """

    def __init__(
        self,
        faults: Sequence[Fault],
        seed: int,
        target: Target,
        emit: Emit,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._faults = faults
        self._schedule = FaultSchedule(faults, seed)
        self._target = target
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
        """The same without a thread: whoever calls `step` is the clock."""
        self._t0 = t0

    def stop(self) -> None:
        """End the thread, mend what is still paused or cut off, and note which faults never hit a node."""
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
            self._mend(node)
        for note in self._schedule.missed(self._clock()):
            self._tell(note)

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._stopping.wait(min(self.step(), threading.TIMEOUT_MAX))

    def step(self) -> float:
        """Do what is due; returns after how many seconds there may be more."""
        assert self._t0 is not None
        for node in [node for node, (until, _) in self._held.items() if until <= self._clock()]:
            self._mend(node)
        elapsed = self._clock() - self._t0
        try:
            # A node under one fault is left alone by the others, so that each one's consequences are its own.
            victims = [victim for victim in self._target.victims() if victim.node not in self._held]
        except Exception as error:
            self._failed(f"the nodes can't be listed: {error}")
            return POLL_S
        for strike in self._schedule.due(elapsed, victims):
            if self._stopping.is_set():
                break
            self._strike(strike)
        upcoming = min([self._t0 + self._schedule.next_s, *(until for until, _ in self._held.values())])
        poll = POLL_S if self._schedule.waits_for_nodes else math.inf
        return max(0.0, min(poll, upcoming - self._clock()))

    def _strike(self, strike: Strike) -> None:
        _, fault, victim = strike
        began = self._clock()
        try:
            self._target.inject(fault.kind, victim.node)
        except NodeGone:
            self._schedule.put_back(strike)
            return
        except Exception as error:
            self._failed(f"{fault} on {victim.node}: {error}")
            if fault.lasts:  # who knows how far it came
                with contextlib.suppress(Exception):
                    self._target.mend(fault.kind, victim.node)
            return
        until = began + fault.for_s if fault.for_s is not None else None
        event = FaultEvent(
            t=began,
            kind=fault.kind,
            node=victim.node,
            node_type=victim.node_type,
            arch=victim.arch,
            detail=str(fault),
            until=until,
            tasks=victim.tasks,
        )
        self._tell(event)
        if fault.lasts:
            self._held[victim.node] = (math.inf if until is None else until, event)
            if self._stopping.is_set():  # `stop` may have lost its patience
                self._mend(victim.node)

    def _mend(self, node: str) -> None:
        _, event = self._held.pop(node, (0.0, None))
        if event is None:
            return
        try:
            self._target.mend(event.kind, node)
        except Exception as error:
            self._failed(f"{event.detail} on {node} couldn't be undone: {error}")
            return
        end = {"t": self._clock(), "stage": "end", "since": event.t, "until": None, "tasks": None}
        self._tell(event.model_copy(update=end))

    def _failed(self, problem: str) -> None:
        """Note it, once: an engine that is gone would say the same twice a second."""
        if problem not in self._said:
            self._said.add(problem)
            self._tell(NoteEvent(t=self._clock(), kind="fault_failed", text=" ".join(problem.split())[:500]))

    def _tell(self, event: FaultEvent | NoteEvent) -> None:
        with contextlib.suppress(Exception):  # a full disk, say: who writes the trial's other events hears of it
            self._emit(event)
