"""Summaries of a sweep's trials by setting: median and spread of the repeats, and the best setting."""

import statistics
from collections.abc import Iterable, Sequence
from typing import Any, Self

from pydantic import ConfigDict, Field, GetJsonSchemaHandler, model_validator

from orchestrator.model.base import FrozenModel
from orchestrator.model.quantities import summarised
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

    # The quantities that the code names are fields. Any other one in the registry is accepted, shown and written alike.
    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Spread | None] = Field(init=False)

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

    @model_validator(mode="after")
    def _extras_are_quantities(self) -> Self:
        if unknown := sorted(self.__pydantic_extra__.keys() - {each.name for each in summarised()}):
            raise ValueError(f"{unknown[0]!r} is no quantity")
        return self

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: Any, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """Return the schema with every quantity of the registry, and closed."""
        schema = handler.resolve_ref_schema(handler(core_schema))
        properties, spread = schema["properties"], schema["properties"]["makespan_s"]
        for each in summarised():
            properties.setdefault(each.name, {**spread, "title": each.heading})
        return {**schema, "additionalProperties": False}

    def spread(self, name: str) -> Spread | None:
        """Return what the valid trials showed of a quantity; None if none of them did."""
        found: Spread | None = getattr(self, name, None)
        return found


def summarise(trials: Iterable[tuple[Settings, Scorecard | None]]) -> list[SettingSummary]:
    """Return a row for each setting, in the order of its first trial; the lowest median makespan is marked best."""
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

    numbers = {each.name: _spread(map(each.value, valid)) for each in summarised()}
    return SettingSummary(
        settings=settings,
        label=settings.label(),
        trials=len(cards),
        ended=sum(1 for card in cards if card is not None),
        valid=len(valid),
        effective_upscaling_speed=settings.effective_upscaling_speed,
        **numbers,
    )


def _spread(values: Iterable[float | None]) -> Spread | None:
    known = [value for value in values if value is not None]
    if not known:
        return None
    return Spread(median=statistics.median(known), low=min(known), high=max(known), n=len(known))
