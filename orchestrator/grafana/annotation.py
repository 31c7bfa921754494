"""One annotation: what Grafana shows of a scaling event, a fault or a trial."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from orchestrator.model.events import NodeEvent
from orchestrator.model.scorecard import Scorecard


@dataclass(frozen=True)
class Annotation:
    """What Grafana shows: a moment, or from `t` to `until` a region; UNIX seconds. `events` stand behind it."""

    t: float
    text: str
    tags: tuple[str, ...]
    until: float | None = None
    events: int = 1

    def body(self) -> dict[str, Any]:
        """As the API wants it: milliseconds."""
        moments = {"time": round(self.t * 1000)}
        if self.until is not None:
            moments["timeEnd"] = max(round(self.until * 1000), moments["time"])
        text = self.text if self.events == 1 else f"{self.events} × {self.text}"
        return {**moments, "tags": list(self.tags), "text": text}


def is_scaling(event: NodeEvent) -> bool:
    """Whether an event of a node is one of scaling; one that turns idle or busy again isn't."""
    if event.is_head or event.cause == "baseline" or event.state == "idle":
        return False
    return not (event.state == "running" and event.previous == "idle")


def describe(event: NodeEvent) -> str:
    """A scaling event in words."""
    return f"{event.node_type} ({event.arch}) {event.state}" + (f": {event.cause}" if event.cause else "")


def result_of(scorecard: Scorecard | None, reason: str) -> str:
    """What came of a trial, in words: seconds, dollars, and whether to trust it."""
    if reason:
        return f"failed: {reason}"
    numbers: Mapping[str, Any] = {} if scorecard is None else dict(scorecard)
    parts = []
    if (makespan := numbers.get("makespan_s")) is not None:
        parts.append(f"makespan {makespan:.0f} s")
    if (cost := numbers.get("cost_usd")) is not None:
        parts.append(f"cost ${getattr(cost, 'total', cost):.2f}")
    if scorecard is not None and not scorecard.valid:
        parts.append(f"invalid: {'; '.join(scorecard.invalid_because) or 'not to be trusted'}")
    return ", ".join(parts) or "done"
