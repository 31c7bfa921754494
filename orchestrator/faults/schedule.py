"""The schedule of faults: picks node and time from the workload, the trial's seed and the living nodes."""

import math
import random
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from orchestrator.model.arch import Arch
from orchestrator.model.events import NoteEvent
from orchestrator.model.fault import Fault

# Clocks have no finer ticks than this.
_SAME_MOMENT_S = 1e-6


class Target(NamedTuple):
    """A node that a fault could hit; `tasks` is the number of tasks that it runs, if known."""

    node: str
    node_type: str
    arch: Arch = "unknown"
    tasks: int | None = None


class Injection(NamedTuple):
    """A fault, the `number`-th of its workload, that hits a node."""

    number: int
    fault: Fault
    target: Target


class FaultSchedule:
    """The faults of one trial: `due` returns those that are due. Times are seconds after the first submission.

    A fault that finds no node of its type waits for one. The seed picks the target among the nodes in the order of
    their ids. Each spot interruption has its own time, counted from when its node is first seen.
    """

    def __init__(self, faults: Sequence[Fault], seed: int) -> None:
        numbered = list(enumerate(faults))
        timed = [(fault.at_s, number, fault) for number, fault in numbered if fault.at_s is not None]
        self._timed = sorted(timed, key=lambda each: each[:2])
        self._rates = [(number, fault) for number, fault in numbered if fault.at_s is None]
        self._seed = seed
        self._ends: dict[tuple[int, str], float] = {}
        self._counted: Counter[tuple[int, str]] = Counter()
        self._next = min((at for at, _, _ in self._timed), default=math.inf)
        self._elapsed = -math.inf

    @property
    def waits_for_nodes(self) -> bool:
        """Return whether a node that joins matters: a fault may hit it at once, or its lifetime begins."""
        return bool(self._rates) or any(at <= self._elapsed + _SAME_MOMENT_S for at, _, _ in self._timed)

    @property
    def next_s(self) -> float:
        """Return when `due` has to be called next if no node joins; infinite if only a node that joins matters."""
        return self._next

    def due(self, elapsed: float, living: Iterable[Target]) -> list[Injection]:
        """Return the injections that are due, at most one for each node; `living` are the nodes that could be hit."""
        left = sorted(living, key=lambda target: target.node)
        injections, later = [], []
        for at, number, fault in self._timed:
            able = [target for target in left if fault.hits(target.node_type)]
            if at > elapsed + _SAME_MOMENT_S or not able:
                later.append((at, number, fault))
                continue
            chosen = random.Random(f"fault:{self._seed}:{number}").choice(able)
            left.remove(chosen)
            injections.append(Injection(number, fault, chosen))
        for number, fault in self._rates:
            for target in [target for target in left if fault.hits(target.node_type)]:
                if self._end(number, fault, target, elapsed) <= elapsed + _SAME_MOMENT_S:
                    left.remove(target)
                    injections.append(Injection(number, fault, target))
        self._timed, self._elapsed = later, elapsed
        upcoming = [at for at, _, _ in later if at > elapsed + _SAME_MOMENT_S]
        here = {target.node for target in left}
        self._next = min([*upcoming, *(end for (_, node), end in self._ends.items() if node in here)], default=math.inf)
        return injections

    def put_back(self, injection: Injection) -> None:
        """Let a fault wait for another target, since this one ended by itself. Spot interruptions don't wait."""
        if injection.fault.at_s is not None:
            self._timed = sorted(
                [*self._timed, (injection.fault.at_s, injection.number, injection.fault)], key=lambda e: e[:2]
            )

    def _end(self, number: int, fault: Fault, target: Target, elapsed: float) -> float:
        """Return when the cloud takes back a node."""
        key = number, target.node
        if key not in self._ends:
            index = self._counted[number, target.node_type]
            self._counted[number, target.node_type] += 1
            self._ends[key] = elapsed + fault.lifetime_s(self._seed, number, target.node_type, index)
        return self._ends[key]

    def missed(self, t: float) -> list[NoteEvent]:
        """Return a note at `t` for each fault that never hit a node. Spot interruptions don't have to hit any."""
        return [
            NoteEvent(
                t=t,
                kind="fault_missed",
                text=f"{fault} hit no node: "
                + ("none of its type was there" if at <= self._elapsed else "the workload ended before"),
            )
            for at, _, fault in self._timed
        ]
