"""What a cloud asks for the nodes of a trace: by the second, as EC2 bills Linux."""

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
    """One node's bill: seconds that count, and dollars; None where the list has no price for its instance type."""

    life: NodeLife
    seconds: float
    usd: float | None


def bills(lives: Iterable[NodeLife], prices: Prices, start: float, until: float, end: float) -> list[Bill]:
    """The bills of the nodes that cost anything from `start` until `until`, in UNIX seconds; the trace ends at `end`.

    A node counts from `allocated` to `terminated`, and for 60 s at least if it was allocated in that time: EC2 asks for
    them even if `until` comes before. Of a node that was there already, only what lies within counts.
    """
    counted = ((life, _billed_seconds(life, start, until, end)) for life in lives)
    return [_bill(life, seconds, prices.of(life.instance_type)) for life, seconds in counted if seconds > 0]


def cost_usd(bills: Sequence[Bill]) -> ByPart | None:
    """Dollars in all, by node type and by arch; None if the price of any of the nodes isn't known, never a guess."""
    priced = [(bill.life, bill.usd) for bill in bills if bill.usd is not None]
    return by_part(priced) if len(priced) == len(bills) else None


def _bill(life: NodeLife, seconds: float, usd_per_hour: float | None) -> Bill:
    return Bill(life, seconds, None if usd_per_hour is None else usd_per_hour * seconds / 3600)


def _billed_seconds(life: NodeLife, start: float, until: float, end: float) -> float:
    seconds = seconds_within(life.billed(end), start, until)
    allocated = next((t for t, state in life.states if state in BILLED_STATES), None)
    began_within = allocated is not None and not life.baseline and start <= allocated < until
    return max(seconds, MINIMUM_S) if began_within else seconds
