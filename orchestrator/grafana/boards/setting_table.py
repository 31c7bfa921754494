"""The table of a sweep's settings: one row per setting, with medians over its valid trials and the verdict."""

from typing import Any, NamedTuple

from grafana_foundation_sdk.models import dashboard as model

from orchestrator.grafana.boards import queries as q
from orchestrator.grafana.boards import style
from orchestrator.grafana.boards.overrides import column
from orchestrator.grafana.boards.panels import grid
from orchestrator.grafana.boards.queries import SWEEP_EVER, Query
from orchestrator.model.verdicts import VERDICTS


class Column(NamedTuple):
    """A column: its heading, the function over the setting's trials, the quantity, the unit and the decimals."""

    heading: str
    function: str
    quantity: str
    unit: str = style.PLAIN
    decimals: int = 1


VERDICT = "Verdict"
SORTED_BY = "Makespan, s"
ENDED = "ended"
COLUMNS = (
    Column("n", "count", "makespan_s", decimals=0),
    Column(SORTED_BY, "median", "makespan_s"),
    Column("Lowest", "min", "makespan_s"),
    Column("Highest", "max", "makespan_s"),
    Column("Cost", "median", "cost_usd", style.DOLLARS, 4),
    Column("CPU use", "median", "cpu_utilisation", style.SHARE, 0),
    Column("θ under", "median", "theta_u", decimals=2),
    Column("θ over", "median", "theta_o", decimals=2),
    Column("p95 wait, s", "median", "task_wait_p95_s"),
    Column("1st node, s", "median", "time_to_first_node_s"),
    Column("Peak, s", "median", "time_to_peak_s"),
    Column(ENDED, "ended", "", decimals=0),
)
_COLOURS = (style.GOOD, style.STATE["idle"], style.MUTED, style.BAD)
_MEANINGS = {
    str(number): {"text": verdict, "color": shade, "index": number}
    for number, (verdict, shade) in enumerate(zip(VERDICTS, _COLOURS, strict=True), start=1)
}


def setting_table(title: str, description: str, *, height: int) -> model.Panel:
    """Return the table, sorted by median makespan."""
    queries = [Query(_expression(each), kind="table") for each in COLUMNS]
    verdict = Query(q.setting_verdicts(SWEEP_EVER), kind="table")
    values = {f"Value #{chr(ord('A') + number)}": name for number, name in enumerate([*_headings(), VERDICT])}
    order = {"setting": 0, _key(values, VERDICT): 1} | {
        _key(values, heading): position for position, heading in enumerate(_headings(), start=2)
    }
    organise: dict[str, Any] = {
        "excludeByName": {"Time": True},
        "indexByName": order,
        # Grafana omits the letter if only one query has an answer: before the first valid trial, the last column's.
        "renameByName": {"setting": "Setting", "Value": ENDED, **values},
    }
    formats = [
        column(each.heading, {"unit": each.unit, "decimals": each.decimals, "custom.width": 80}) for each in COLUMNS
    ]
    return grid(
        title,
        description,
        [*queries, verdict],
        size=(24, height),
        transformations=[
            ("merge", {}),
            ("organize", organise),
            ("sortBy", {"sort": [{"field": SORTED_BY, "desc": False}]}),
        ],
        overrides=[
            *formats,
            # At the left, because Grafana cuts the last pixels of a table that fills its panel.
            column(ENDED, {"custom.width": 66, "custom.align": "left"}),
            column("n", {"custom.width": 36}),
            column(SORTED_BY, {"custom.width": 100}),
            *(column(name, {"custom.width": 92}) for name in ("p95 wait, s", "1st node, s")),
            *(column(name, {"custom.width": 72}) for name in ("Lowest", "Highest", "Peak, s", "θ under", "θ over")),
            column("Setting", {"custom.minWidth": 170}),
            column(
                VERDICT,
                {
                    "mappings": [{"type": "value", "options": _MEANINGS}],
                    "custom.cellOptions": {"type": "color-text"},
                    "custom.width": 122,
                },
            ),
        ],
        no_value="–",
    )


def _expression(each: Column) -> str:
    if each.function == "ended":
        # Also for a setting without a valid trial.
        return q.ended_by_setting(SWEEP_EVER)
    return q.of_settings(SWEEP_EVER, each.function, each.quantity)


def _headings() -> list[str]:
    return [each.heading for each in COLUMNS]


def _key(values: dict[str, str], heading: str) -> str:
    return next(key for key, name in values.items() if name == heading)
