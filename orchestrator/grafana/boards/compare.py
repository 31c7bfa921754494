"""The board that overlays trials on one axis of elapsed time.

The range of the board begins at 2000-01-01 UTC. Each query is shifted by the time between that and the start of its
trial, so all trials begin at 00:00:00. You choose the trials on the board or in its address.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import chain
from typing import Any
from urllib.parse import urlencode

from grafana_foundation_sdk.models.dashboard import Dashboard, Panel

from orchestrator.grafana.boards import queries as q
from orchestrator.grafana.boards import style
from orchestrator.grafana.boards.layout import FIT, Section, annotation, board, link
from orchestrator.grafana.boards.overrides import DASHED, Override, colour, column, from_query
from orchestrator.grafana.boards.panels import graph
from orchestrator.grafana.boards.queries import Query, Scope
from orchestrator.grafana.boards.scorecards import scorecard_table
from orchestrator.grafana.boards.variables import (
    archs_of_trials,
    compared_trial,
    end_of_longest,
    start_of,
    sweeps_ever,
)

UID = "orchestrate-compare"

ZERO = datetime(2000, 1, 1, tzinfo=UTC)
ZERO_S = 946_684_800
"""`ZERO` in UNIX seconds."""
USUAL_S = 900
"""The length of the axis for trials chosen by hand."""
VARIABLES = ("base", "other", "third", "fourth")
"""One variable per trial. The last two may stay empty."""

NO_TRIAL = "no samples of these trials: choose others above"
PENDING = "Pending tasks"
EQUAL = "Where lines coincide, the wider one shows on both sides of the narrower."
OF_ONE_ARCH = 'arch=~"$arch"'


@dataclass(frozen=True)
class ComparedTrial:
    """A trial to overlay, and the seconds of it that the axis must cover."""

    sweep_id: str
    trial_id: str
    duration_s: float

    def __post_init__(self) -> None:
        """Raise ValueError if an id has characters that a query can't hold."""
        for each in (self.sweep_id, self.trial_id):
            if not re.fullmatch(r"[\w.-]+", each):
                raise ValueError(f"{each!r} can't be an id: letters, digits, dots and dashes only")

    @property
    def matchers(self) -> str:
        """Return the value of the trial's variable."""
        return f'sweep_id="{self.sweep_id}",trial_id="{self.trial_id}"'


@dataclass(frozen=True)
class _Slot:
    """A place for a trial: its variable and number on the board, its series' names, and its queries' scope."""

    variable: str
    number: int

    @property
    def called(self) -> str:
        return f"${{{self.variable}:text}}"

    @property
    def short(self) -> str:
        """The number in the table of scorecards, for legends with many series or little room."""
        return f"trial {self.number + 1}"

    @property
    def scope(self) -> Scope:
        return Scope(f"${{{self.variable}:raw}}", f"-${{{self.variable}_start}}s")


SLOTS = tuple(_Slot(variable, number) for number, variable in enumerate(VARIABLES))


def address(grafana: str, trials: Sequence[ComparedTrial]) -> str:
    """Return the address at which Grafana overlays two to four trials. Raises ValueError for other numbers."""
    if not 2 <= len(trials) <= len(VARIABLES):
        raise ValueError(f"you can compare 2 to {len(VARIABLES)} trials, not {len(trials)}")
    if len({trial.matchers for trial in trials}) < len(trials):
        raise ValueError("one trial appears twice")
    chosen = [
        *(("var-sweep_id", sweep) for sweep in dict.fromkeys(trial.sweep_id for trial in trials)),
        *((f"var-{name}", trial.matchers) for name, trial in zip(VARIABLES, trials, strict=False)),
        ("from", f"{ZERO_S * 1000}"),
        ("to", f"{ZERO_S * 1000 + round(1000 * (q.MARGIN_S + max(trial.duration_s for trial in trials)))}"),
    ]
    return f"{grafana}/d/{UID}?{urlencode(chosen)}"


def compare_board() -> Dashboard:
    """Return the board of two to four trials. It first shows the two newest."""
    pickers = [
        (
            compared_trial(
                slot.variable, f"Trial {slot.number + 1}", besides=VARIABLES[: slot.number], optional=slot.number > 1
            ),
            start_of(slot.variable, ZERO_S),
        )
        for slot in SLOTS
    ]
    return board(
        UID,
        "Overlays two to four trials. Choose sweeps and trials above, or open the address that `orchestrate"
        " dashboards compare TRIAL TRIAL` prints. The axis is the time since each trial began, shown as a date in"
        " the year 2000 (UTC). “Fit time” shows the whole of the longest trial.",
        variables=[
            sweeps_ever(),
            *chain.from_iterable(pickers),
            archs_of_trials(VARIABLES),
            end_of_longest(VARIABLES, ZERO_S),
        ],
        annotations=[_end_of_work(slot) for slot in SLOTS],
        annotated=[PENDING],
        links=[
            link(
                FIT,
                "From the start to the end of the longest trial",
                f"/d/{UID}?from={ZERO_S * 1000}&to=${{longest_to}}",
                with_variables=True,
            )
        ],
        sections=[
            Section("", [_scorecards()]),
            Section(
                "Over the time since each submission, shown as the time of day on 2000-01-01",
                [*_demand_and_nodes(), *_cpus_and_cost()],
            ),
        ],
        time=(_iso(ZERO), _iso(ZERO + timedelta(seconds=USUAL_S))),
        timezone="utc",
        refresh="",
        # Its dates mean nothing here, and it would leave the five variables a third of the width.
        time_picker=False,
    )


def _iso(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _end_of_work(slot: _Slot) -> Any:
    """Mark the end of a trial's last task. Regions for the whole scale-down of four trials would hide each other."""
    scaling_down = 'phase="scaling_down"'
    phase = slot.scope.of("orchestrator_trial_phase", scaling_down)
    changed = slot.scope.of("orchestrator_trial_phase", scaling_down, window="10s")
    trial_colour = style.TRIAL_COLOURS[slot.number]
    # Grafana doesn't expand variables here.
    name = f"Trial {slot.number + 1}"
    return annotation(
        f"{name}: scaling down",
        f"max({phase}) > 0 and max(changes({changed})) > 0",
        style.MUTED if trial_colour == style.INK else trial_colour,
        title=f"{name}: all tasks have ended",
    )


def _scorecards() -> Panel:
    around = [q.around(slot.scope) for slot in SLOTS]
    numbered = {
        str(number): {"text": f"● {number}", "color": shade, "index": number}
        for number, shade in enumerate(style.TRIAL_COLOURS, start=1)
    }
    return scorecard_table(
        "Scorecards",
        "One row per trial whose scorecard was scraped within half a day. You can choose trials from any sweep"
        " above; `orchestrate dashboards compare TRIAL TRIAL` prints the address of this board with them.",
        [
            replace(query, expr=f'label_replace({query.expr}, "compared", "{number}", "", "")')
            for number, scope in enumerate(around, start=1)
            for query in (q.scorecards(scope, "1d"), *q.trial_times(scope, "1d"))
        ],
        height=6,
        sorted_by="No.",
        overrides=[
            column(
                "No.",
                {
                    "mappings": [{"type": "value", "options": numbered}],
                    "custom.cellOptions": {"type": "color-text"},
                },
            )
        ],
    )


def _demand_and_nodes() -> Sequence[Panel]:
    demand = [
        (q.demand(slot.scope, f"{slot.short}: demand"), q.supply(slot.scope, f"{slot.short}: supply")) for slot in SLOTS
    ]
    demand_styles = [
        from_query(
            2 * slot.number + part,
            {**_looks(slot), **({"custom.lineStyle": DASHED} if part else {})},
        )
        for slot in SLOTS
        for part in (0, 1)
    ]
    return [
        graph(
            PENDING,
            f"Tasks that wait, over the time since each trial began. Marks are where all tasks have ended. {EQUAL}",
            [q.pending_tasks(slot.scope, slot.called) for slot in SLOTS],
            unit=style.COUNT,
            size=(24, 8),
            decimals=0,
            axis="tasks",
            steps=True,
            listed=True,
            overrides=_by_trial(),
            no_value=NO_TRIAL,
        ),
        graph(
            "Demand and supply",
            "Requested CPUs (solid), and CPUs of nodes that can run tasks (dashed).",
            list(chain.from_iterable(demand)),
            unit=style.COUNT,
            size=(24, 9),
            decimals=0,
            axis="CPUs",
            steps=True,
            listed=True,
            overrides=demand_styles,
            no_value=NO_TRIAL,
        ),
        graph(
            "Nodes: $arch",
            f"Live nodes of one architecture. {EQUAL}",
            _each(lambda scope, called: q.nodes_of(scope, called, OF_ONE_ARCH)),
            unit=style.COUNT,
            size=(24, 9),
            decimals=0,
            axis="nodes",
            steps=True,
            listed=True,
            overrides=_by_trial(),
            no_value=NO_TRIAL,
            repeat="arch",
        ),
    ]


def _cpus_and_cost() -> Sequence[Panel]:
    return [
        graph(
            "CPU use: $arch",
            f"Share of one architecture's logical CPUs held by tasks. {EQUAL}",
            _each(lambda scope, called: q.cpu_share_of(scope, called, OF_ONE_ARCH)),
            unit=style.SHARE,
            size=(24, 8),
            decimals=0,
            most=1.05,
            listed=True,
            overrides=_by_trial(),
            no_value=NO_TRIAL,
            repeat="arch",
        ),
        graph(
            "Cost so far",
            f"Dollars at list price. Empty if no price is known. {EQUAL}",
            _each(q.cost),
            unit=style.DOLLARS,
            size=(24, 8),
            listed=True,
            overrides=_by_trial(),
            no_value=f"{NO_TRIAL}; or no price is known",
        ),
    ]


def _each(query: Callable[[Scope, str], Query]) -> list[Query]:
    return [query(slot.scope, slot.short) for slot in SLOTS]


def _by_trial() -> list[Override]:
    return [from_query(slot.number, _looks(slot)) for slot in SLOTS]


def _looks(slot: _Slot) -> dict[str, Any]:
    return {**colour(style.TRIAL_COLOURS[slot.number]), "custom.lineWidth": style.TRIAL_WIDTHS[slot.number]}
