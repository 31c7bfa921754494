"""Which fault hits which node, and when: decided from the workload, the trial's seed and the nodes that live."""

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


class Victim(NamedTuple):
    """A node that a fault could hit; `tasks` is how many tasks it runs, where that is known."""

    node: str
    node_type: str
    arch: Arch = "unknown"
    tasks: int | None = None


class Strike(NamedTuple):
    """A fault, the `number`-th of its workload, hits a node."""

    number: int
    fault: Fault
    victim: Victim


class FaultSchedule:
    """The faults of one trial, asked again and again what is due; times are seconds after the first submission.

    A fault that finds no node of its type waits for one. The victim is drawn by the seed among the nodes in the order
    of their ids. Nodes are taken back at their own time each, counted from when they are first seen.
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
        """Whether a node that joins may be hit at once, or has to be known from then on."""
        return bool(self._rates) or any(at <= self._elapsed + _SAME_MOMENT_S for at, _, _ in self._timed)

    @property
    def next_s(self) -> float:
        """When `due` has to be asked next, whatever joins meanwhile; infinite if only a node that joins matters."""
        return self._next

    def due(self, elapsed: float, living: Iterable[Victim]) -> list[Strike]:
        """What happens now, each node hit once at most; `living` are the nodes that could be hit."""
        left = sorted(living, key=lambda victim: victim.node)
        strikes, later = [], []
        for at, number, fault in self._timed:
            able = [victim for victim in left if fault.hits(victim.node_type)]
            if at > elapsed + _SAME_MOMENT_S or not able:
                later.append((at, number, fault))
                continue
            chosen = random.Random(f"fault:{self._seed}:{number}").choice(able)
            left.remove(chosen)
            strikes.append(Strike(number, fault, chosen))
        for number, fault in self._rates:
            for victim in [victim for victim in left if fault.hits(victim.node_type)]:
                if self._end(number, fault, victim, elapsed) <= elapsed + _SAME_MOMENT_S:
                    left.remove(victim)
                    strikes.append(Strike(number, fault, victim))
        self._timed, self._elapsed = later, elapsed
        upcoming = [at for at, _, _ in later if at > elapsed + _SAME_MOMENT_S]
        here = {victim.node for victim in left}
        self._next = min([*upcoming, *(end for (_, node), end in self._ends.items() if node in here)], default=math.inf)
        return strikes

    def put_back(self, strike: Strike) -> None:
        """The victim was gone before it could be hit: the fault waits for another. Spot interruptions don't."""
        if strike.fault.at_s is not None:
            self._timed = sorted([*self._timed, (strike.fault.at_s, strike.number, strike.fault)], key=lambda e: e[:2])

    def _end(self, number: int, fault: Fault, victim: Victim, elapsed: float) -> float:
        """When a node is taken back."""
        key = number, victim.node
        if key not in self._ends:
            index = self._counted[number, victim.node_type]
            self._counted[number, victim.node_type] += 1
            self._ends[key] = elapsed + fault.lifetime_s(self._seed, number, victim.node_type, index)
        return self._ends[key]

    def missed(self, t: float) -> list[NoteEvent]:
        """A note at `t` for each fault that never hit a node. Spot interruptions may pass all nodes by."""
        return [
            NoteEvent(
                t=t,
                kind="fault_missed",
                text=f"{fault} hit no node: "
                + ("none of its type was there" if at <= self._elapsed else "the workload ended before"),
            )
            for at, _, fault in self._timed
        ]
