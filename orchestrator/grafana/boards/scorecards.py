"""The table of scorecards: one row per ended trial, one column per quantity."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from grafana_foundation_sdk.models import dashboard as model

from orchestrator.grafana.boards import style
from orchestrator.grafana.boards.overrides import HIDDEN, Override, column
from orchestrator.grafana.boards.panels import columns, grid
from orchestrator.grafana.boards.queries import Query
from orchestrator.model.quantities import Quantity, Unit, quantity, shown_in

Transformation = tuple[str, Mapping[str, Any]]


class Column(NamedTuple):
    """A label or a quantity of `orchestrator_scorecard`, with the heading and format of its column."""

    name: str
    heading: str
    unit: str = style.PLAIN
    decimals: int | None = None
    width: int = 110


FIRST = (Column("compared", "No.", width=55),)
"""The number of the compared trial that a row shows. Only the Compare board has this label."""
LABELS = (
    Column("setting", "Setting", width=190),
    Column("repeat", "Repeat", width=70),
    Column("trial_id", "Trial", width=125),
    Column("sweep_id", "Sweep", width=90),
    Column("valid", "Valid", width=65),
)
# Headings hold the units, except for these: Grafana would convert seconds to minutes and hide differences.
_UNITS: Mapping[Unit, str] = {"$": style.DOLLARS, "share": style.SHARE}

# UNIX milliseconds for the addresses of links.
TIMES = (
    Column("started", "Started", "dateTimeAsLocal"),
    Column("ended", "Ended", "dateTimeAsLocal"),
)

TRIAL_LINK = (
    "/d/orchestrate-trial?var-datasource=${datasource}&var-sweep_id=${__data.fields.Sweep}&var-trial_id=${__value.text}"
    "&from=${__data.fields.Started.numeric}&to=${__data.fields.Ended.numeric}&refresh="
)

# Turn each series into a one-row table with its quantity as value column, then merge rows with equal labels.
ONE_ROW_EACH: tuple[Transformation, ...] = (
    ("labelsToFields", {"mode": "columns", "valueLabel": "quantity"}),
    ("merge", {}),
)

MEANINGS = (
    "θ: mean CPUs of demand above supply (under) and of supply above demand (over); τ: share of time with either;"
    " jitter: changes of supply minus changes of demand (SPEC Research Group, Herbst et al. 2013). Excess nodes"
    " never ran a task."
)


def scorecard_table(
    title: str,
    description: str,
    queries: Sequence[Query],
    *,
    height: int,
    sorted_by: str = "",
    overrides: Sequence[Override] = (),
) -> model.Panel:
    """Return a table of scorecards and `trial_times`. Each trial links to its board, at its time."""
    shown = (*FIRST, *LABELS, *quantity_columns(), *TIMES)
    return grid(
        title,
        f"{description} {MEANINGS}",
        queries,
        size=(24, height),
        unit=style.PLAIN,
        transformations=(
            *ONE_ROW_EACH,
            columns({each.name: each.heading for each in shown}, "Time", *_without_column()),
            _sorted_by(sorted_by or _heading(quantity("makespan_s"))),
        ),
        overrides=[*(_format(each) for each in shown), *_SPECIALS, *overrides],
        no_value="–",  # also for a cell, such as a trial without a known cost
    )


def quantity_columns() -> tuple[Column, ...]:
    """Return a column for each quantity that boards show."""
    return tuple(
        Column(each.name, _heading(each), _UNITS.get(each.unit, style.PLAIN), each.digits)
        for each in shown_in("grafana")
    )


def _without_column() -> list[str]:
    """Return the names of quantities that are metrics but have no column."""
    shown = {each.name for each in quantity_columns()}
    return [each.name for each in shown_in("metrics") if each.name not in shown]


def _heading(each: Quantity) -> str:
    heading = each.heading if each.unit in _UNITS else each.column
    return (heading[0].upper() if heading[0].isascii() else heading[0]) + heading[1:]  # θ is a symbol, not a letter


def _sorted_by(heading: str) -> Transformation:
    return "sortBy", {"sort": [{"field": heading, "desc": False}]}


def _format(each: Column) -> Override:
    properties: dict[str, Any] = {"unit": each.unit, "custom.width": each.width}
    if each.decimals is not None:
        properties["decimals"] = each.decimals
    return column(each.heading, properties)


_VERDICTS = {
    "true": {"text": "valid", "color": style.GOOD, "index": 0},
    "false": {"text": "invalid", "color": style.BAD, "index": 1},
}
_SPECIALS = (
    *(column(each.heading, HIDDEN) for each in TIMES),
    column("Trial", {"links": [{"title": "Open the trial", "url": TRIAL_LINK, "targetBlank": False}]}),
    column(
        "Valid",
        {"mappings": [{"type": "value", "options": _VERDICTS}], "custom.cellOptions": {"type": "color-text"}},
    ),
)
