"""Sums the trials of a sweep up by setting: the repeats' median and spread, and which setting was best."""

import statistics
from collections.abc import Iterable, Sequence

from orchestrator.model.base import FrozenModel
from orchestrator.model.scorecard import Scorecard
from orchestrator.model.settings import Settings


class Spread(FrozenModel):
    """Median, lowest and highest of `n` repeats."""

    median: float
    low: float
    high: float
    n: int


class SettingSummary(FrozenModel):
    """One setting: how many of its trials have ended, how many are valid, and what the valid ones showed."""

    settings: Settings
    label: str
    trials: int
    ended: int
    valid: int
    best: bool = False
    effective_upscaling_speed: float | None = None
    makespan_s: Spread | None = None
    time_to_first_node_s: Spread | None = None
    time_to_peak_s: Spread | None = None
    scale_down_s: Spread | None = None
    launches: Spread | None = None
    peak_nodes: Spread | None = None
    node_seconds: Spread | None = None
    cost_usd: Spread | None = None
    theta_u: Spread | None = None
    theta_o: Spread | None = None
    cpu_utilisation: Spread | None = None
    task_wait_p95_s: Spread | None = None


def summarise(trials: Iterable[tuple[Settings, Scorecard | None]]) -> list[SettingSummary]:
    """One row for each setting, in the order of its first trial; the lowest median makespan is marked best."""
    groups: dict[Settings, list[Scorecard | None]] = {}
    for settings, scorecard in trials:
        groups.setdefault(settings, []).append(scorecard)
    rows = [_summary(settings, cards) for settings, cards in groups.items()]
    makespans = [row.makespan_s.median for row in rows if row.makespan_s is not None]
    if len(makespans) < 2:
        return rows
    best = min(makespans)
    return [
        row.model_copy(update={"best": row.makespan_s is not None and row.makespan_s.median == best}) for row in rows
    ]


def _summary(settings: Settings, cards: Sequence[Scorecard | None]) -> SettingSummary:
    valid = [card for card in cards if card is not None and card.valid]

    def spread(values: Iterable[float | None]) -> Spread | None:
        known = [value for value in values if value is not None]
        if not known:
            return None
        return Spread(median=statistics.median(known), low=min(known), high=max(known), n=len(known))

    return SettingSummary(
        settings=settings,
        label=settings.label(),
        trials=len(cards),
        ended=sum(1 for card in cards if card is not None),
        valid=len(valid),
        effective_upscaling_speed=settings.effective_upscaling_speed,
        makespan_s=spread(card.makespan_s for card in valid),
        time_to_first_node_s=spread(card.time_to_first_node_s for card in valid),
        time_to_peak_s=spread(card.time_to_peak_s for card in valid),
        scale_down_s=spread(card.scale_down_s for card in valid),
        launches=spread(card.launches for card in valid),
        peak_nodes=spread(card.peak_nodes for card in valid),
        node_seconds=spread(card.node_seconds.total for card in valid),
        cost_usd=spread(card.cost_usd.total for card in valid if card.cost_usd is not None),
        theta_u=spread(card.theta_u for card in valid),
        theta_o=spread(card.theta_o for card in valid),
        cpu_utilisation=spread(card.cpu_utilisation for card in valid),
        task_wait_p95_s=spread(card.task_wait_s["all"].p95 for card in valid if "all" in card.task_wait_s),
    )
