"""The bill of a cloud for the nodes of a trace: by the second, as EC2 bills Linux."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from orchestrator.analysis.trial.node_lives import NodeLife, by_part, seconds_within
from orchestrator.model.events import BILLED_STATES
from orchestrator.model.prices import Prices
from orchestrator.model.scorecard import ByPart

# https://aws.amazon.com/about-aws/whats-new/2017/10/announcing-amazon-ec2-per-second-billing/
MINIMUM_S = 60.0


@dataclass(frozen=True)
class Bill:
    """One node's bill: billed seconds, and dollars; None if the list has no price for its instance type."""

    life: NodeLife
    seconds: float
    usd: float | None


def bills(lives: Iterable[NodeLife], prices: Prices, start: float, until: float, end: float) -> list[Bill]:
    """Return the bills of the nodes that cost anything from `start` until `until`, in UNIX seconds.

    The trace ends at `end`.
    """
    counted = ((life, billed_seconds(life, start, until, end)) for life in lives)
    return [
        _bill(life, seconds, prices.of_node(life.node_type, life.instance_type))
        for life, seconds in counted
        if seconds > 0
    ]


def cost_usd(bills: Sequence[Bill]) -> ByPart | None:
    """Return the dollars in all, by node type and by arch; None if the price of any node is unknown, never a guess."""
    priced = [(bill.life, bill.usd) for bill in bills if bill.usd is not None]
    return by_part(priced) if len(priced) == len(bills) else None


def billed_seconds(life: NodeLife, start: float, until: float, end: float) -> float:
    """Return for how many seconds from `start` until `until` a cloud bills a node; the trace ends at `end`.

    A node counts from `allocated` to `terminated`, and for at least 60 s if it was allocated in that time: EC2 charges
    them even if `until` comes before. Of a node that existed already, only what lies within counts.
    """
    return max(seconds_within(life.billed(end), start, until), _minimum_s(life, start, until))


@dataclass(frozen=True)
class Meter:
    """The billed seconds of a node as a function of time, valid until the next event of the node."""

    settled_s: float
    running_since: float | None
    minimum_s: float

    @property
    def has_begun(self) -> bool:
        """Return whether any of the node's states is billed."""
        return self.running_since is not None or max(self.settled_s, self.minimum_s) > 0

    def seconds(self, now: float) -> float:
        """Return the seconds billed until `now`."""
        running_s = 0.0 if self.running_since is None else max(0.0, now - self.running_since)
        return max(self.minimum_s, self.settled_s + running_s)


def meter(life: NodeLife, start: float) -> Meter:
    """Return the meter of a node whose bill begins at `start`: `billed_seconds`, with all that is known computed."""
    billed = life.billed(math.inf)
    running = bool(billed) and billed[-1][1] == math.inf
    return Meter(
        settled_s=seconds_within(billed[:-1] if running else billed, start, math.inf),
        running_since=max(start, billed[-1][0]) if running else None,
        minimum_s=_minimum_s(life, start, math.inf),
    )


def _minimum_s(life: NodeLife, start: float, until: float) -> float:
    allocated = next((t for t, state in life.states if state in BILLED_STATES), None)
    return MINIMUM_S if allocated is not None and not life.baseline and start <= allocated < until else 0.0


def _bill(life: NodeLife, seconds: float, usd_per_hour: float | None) -> Bill:
    return Bill(life, seconds, None if usd_per_hour is None else usd_per_hour * seconds / 3600)
