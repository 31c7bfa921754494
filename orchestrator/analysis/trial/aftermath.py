"""The consequences of each injected fault: when its node was lost, and when capacity was back."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from orchestrator.analysis.trial.node_lives import NodeLife, stacked
from orchestrator.model.events import Event, FaultEvent, NodeState

# A recovered node is declared dead at most this late, if at all: the GCS gives up a silent node after 66 s.
LATE_DEATH_S = 90.0


@dataclass(frozen=True)
class Aftermath:
    """A fault and what followed, in UNIX seconds; None where it didn't, or the trace doesn't show it.

    `until` is the end of a pause or a partition, `lost` when the node couldn't run tasks any more, and `replaced` when,
    from then on, as many nodes of its type could as before the fault: launched instead of it, or meanwhile.
    """

    fault: FaultEvent
    until: float | None
    lost: float | None
    replaced: float | None


def aftermaths(events: Sequence[Event], lives: Sequence[NodeLife]) -> list[Aftermath]:
    """Return the faults of a trace in their order; `lives` are all its worker nodes."""
    found = [event for event in events if isinstance(event, FaultEvent)]
    ends = {(event.node, event.since): event.t for event in found if event.stage == "end"}
    last = max((event.t for event in events), default=0.0)
    by_node = {life.node: life for life in lives}
    told = []
    for fault in found:
        if fault.stage == "begin":
            until = ends.get((fault.node, fault.t))
            lost = _lost(by_node.get(fault.node), fault, until)
            replaced = None if lost is None else _replaced(fault, lost, lives, last)
            told.append(Aftermath(fault, until, lost, replaced))
    return told


def lost_on_purpose(aftermaths: Iterable[Aftermath]) -> set[str]:
    """Return the nodes that failed because of a fault of the workload."""
    return {each.fault.node for each in aftermaths if each.lost is not None}


def _lost(life: NodeLife | None, fault: FaultEvent, until: float | None) -> float | None:
    """Return when the node was lost, as far as this fault is the cause: a recovered node may crash by itself later.

    A killed machine may end in any state. A silent machine that doesn't end as failed was idle.
    """
    ways: tuple[NodeState, ...] = (
        ("failed", "draining", "terminated") if fault.kind in ("kill", "spot") else ("failed",)
    )
    ended = [t for way in ways if life is not None and (t := life.first(way)) is not None]
    if not ended or (until is not None and min(ended) > until + LATE_DEATH_S):
        return None
    return max(min(ended), fault.t)


def _replaced(fault: FaultEvent, lost: float, lives: Iterable[NodeLife], last: float) -> float | None:
    others = [life for life in lives if life.node_type == fault.node_type and life.node != fault.node]
    alive = stacked((life.alive(last), 1.0) for life in others)
    steps = [(-math.inf, alive.before), *zip(alive.times, alive.values, strict=True)]
    wanted = 1 + next(count for t, count in reversed(steps) if t < fault.t)
    counts = alive.walk()
    return next((t for t in (lost, *(t for t in alive.times if t > lost)) if counts(t) >= wanted), None)
