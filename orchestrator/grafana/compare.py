"""The board that lays trials over each other on one axis of elapsed time.

The board's range begins at 2000-01-01 UTC, and each query is moved by the time between that and its trial's start: so
all trials begin at 00:00:00. The moves are *custom* variables, since Grafana fills the others from the board's range.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import chain
from typing import Any

from grafana_foundation_sdk.models.dashboard import Dashboard, Panel

from orchestrator.grafana import queries as q
from orchestrator.grafana import style
from orchestrator.grafana.overrides import Override, colour, from_query
from orchestrator.grafana.panels import graph
from orchestrator.grafana.parts import Section, annotation, board, choice
from orchestrator.grafana.queries import Query, Scope
from orchestrator.grafana.scorecards import scorecard_table

UID = "orchestrate-compare"

ZERO = datetime(2000, 1, 1, tzinfo=UTC)
ZERO_S = 946_684_800
"""`ZERO` in UNIX seconds."""
VARIABLES = ("base", "other", "third", "fourth")
"""One for each trial: its text is the trial's id, its value the start in seconds after `ZERO`."""

TRIAL_LINK = (
    "/d/orchestrate-trial?var-datasource=${datasource}&var-sweep_id=${__data.fields.Sweep}&var-trial_id=${__value.text}"
)
NO_TRIAL = "these trials have no samples here; which trials it shows stands in the board's variables"
# What the committed board shows: no trial has this id.
_NOBODY = "no-trial"


@dataclass(frozen=True)
class ComparedTrial:
    """A trial to be laid over others: `start` in UNIX seconds is t = 0, `duration_s` what the axis has to show."""

    sweep_id: str
    trial_id: str
    label: str
    start: float
    duration_s: float

    def __post_init__(self) -> None:
        """Raises ValueError for what a query can't hold, and for a trial without a time."""
        for each in (self.sweep_id, self.trial_id):
            if not re.fullmatch(r"[\w.-]+", each):
                raise ValueError(f"{each!r} can't be an id: letters, digits, dots and dashes only")
        if self.start <= ZERO_S or self.duration_s <= 0:
            raise ValueError(f"trial {self.trial_id}: it has no start or no duration")

    @property
    def offset(self) -> int:
        """Whole seconds from `ZERO` to the start."""
        return round(self.start) - ZERO_S


@dataclass(frozen=True)
class _Slot:
    """A place for a trial: its variable, its queries' scope, and what its series are called."""

    variable: str
    trial_id: str
    offset: int
    scope: Scope
    called: str


def compare_board(trials: Sequence[ComparedTrial] = ()) -> Dashboard:
    """Two to four trials over each other; without trials a board with two places, which finds no samples.

    Raises ValueError for one trial or more than four.
    """
    if trials and not 2 <= len(trials) <= len(VARIABLES):
        raise ValueError(f"from 2 to {len(VARIABLES)} trials can be compared, not {len(trials)}")
    slots = _slots(trials)
    duration = max((trial.duration_s for trial in trials), default=600.0)
    return board(
        UID,
        "Trials over each other: the time axis is the time since each began, as a date of the year 2000 in UTC.",
        variables=[
            choice(
                slot.variable,
                f"Trial {number}",
                "The text is the trial's id; the value its start in UNIX seconds, less 946684800.",
                [(slot.trial_id, str(slot.offset))],
            )
            for number, slot in enumerate(slots, start=1)
        ],
        annotations=[_end_of_work(number, slot) for number, slot in enumerate(slots)],
        sections=[
            Section("Scorecards", [_scorecards(slots)]),
            Section("Demand and nodes", list(_demand_and_nodes(slots))),
            Section("CPUs and cost", list(_cpus_and_cost(slots))),
        ],
        time=(_iso(ZERO), _iso(ZERO + timedelta(seconds=duration))),
        timezone="utc",
        refresh="",
    )


def _iso(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _slots(trials: Sequence[ComparedTrial]) -> list[_Slot]:
    if not trials:
        return [_Slot(name, _NOBODY, 1, _scope(name), f"${{{name}:text}}") for name in VARIABLES[:2]]
    labels = [trial.label for trial in trials]
    return [
        _Slot(
            name,
            trial.trial_id,
            trial.offset,
            _scope(name, f'sweep_id="{trial.sweep_id}"'),
            trial.label if labels.count(trial.label) == 1 else f"{trial.label} ({trial.sweep_id}/{trial.trial_id})",
        )
        for name, trial in zip(VARIABLES, trials, strict=False)
    ]


def _scope(variable: str, *matchers: str) -> Scope:
    return Scope(", ".join((*matchers, f'trial_id="${{{variable}:text}}"')), f"-${{{variable}}}s")


def _end_of_work(number: int, slot: _Slot) -> Any:
    """Marks a trial from the end of its last task until its cluster is small again."""
    phase = slot.scope.of("orchestrator_trial_phase", 'phase="scaling_down"')
    trial_colour = style.TRIAL_COLOURS[number]
    # Grafana fills in no variables here.
    name = f"Trial {number + 1}" if slot.trial_id == _NOBODY else slot.called
    return annotation(
        f"{name}: scaling down",
        f"max({phase}) > 0",
        style.MUTED if trial_colour == style.INK else trial_colour,
        title=f"{name}: all tasks have ended",
    )


def _scorecards(slots: Sequence[_Slot]) -> Panel:
    return scorecard_table(
        "Scorecards",
        "One row for each trial, as far as its scorecard was scraped within half a day.",
        [q.scorecards_around(slot.scope) for slot in slots],
        trial_link=TRIAL_LINK,
        no_value=NO_TRIAL,
        height=6,
    )


def _demand_and_nodes(slots: Sequence[_Slot]) -> Sequence[Panel]:
    demand = [
        (q.demand(slot.scope, f"{slot.called}: demand"), q.supply(slot.scope, f"{slot.called}: supply"))
        for slot in slots
    ]
    demand_styles = [
        from_query(2 * number + part, {**colour(style.TRIAL_COLOURS[number]), "custom.lineStyle": _dash(part)})
        for number in range(len(slots))
        for part in (0, 1)
    ]
    return [
        graph(
            "Pending tasks",
            "Tasks that wait, over the time since each trial began.",
            _each(slots, q.pending_tasks),
            unit=style.COUNT,
            decimals=0,
            steps=True,
            overrides=_by_colour(slots),
            no_value=NO_TRIAL,
        ),
        graph(
            "Demand and supply",
            "CPUs asked for (solid) and CPUs of nodes that can run tasks (dashed).",
            list(chain.from_iterable(demand)),
            unit=style.CPUS,
            decimals=0,
            steps=True,
            overrides=demand_styles,
            no_value=NO_TRIAL,
        ),
        graph(
            "Nodes by architecture",
            "Nodes that live. Colours are architectures, dashes are trials.",
            _each(slots, q.nodes),
            unit=style.COUNT,
            size=(24, 10),
            decimals=0,
            steps=True,
            overrides=_by_dash(slots),
            no_value=NO_TRIAL,
        ),
    ]


def _cpus_and_cost(slots: Sequence[_Slot]) -> Sequence[Panel]:
    return [
        graph(
            "CPU use by architecture",
            "Share of the logical CPUs that tasks hold. Colours are architectures, dashes are trials.",
            _each(slots, q.cpu_share),
            unit=style.SHARE,
            decimals=0,
            highest=1,
            overrides=_by_dash(slots),
            no_value=NO_TRIAL,
        ),
        graph(
            "Cost so far",
            "Dollars at list price. Empty where no price is known.",
            _each(slots, q.cost),
            unit=style.DOLLARS,
            decimals=4,
            overrides=_by_colour(slots),
            no_value=f"{NO_TRIAL}, or no price is known",
        ),
    ]


def _each(slots: Sequence[_Slot], query: Callable[[Scope, str], Query]) -> list[Query]:
    return [query(slot.scope, slot.called) for slot in slots]


def _by_colour(slots: Sequence[_Slot]) -> list[Override]:
    return [from_query(number, colour(style.TRIAL_COLOURS[number])) for number in range(len(slots))]


def _by_dash(slots: Sequence[_Slot]) -> list[Override]:
    return [from_query(number, {"custom.lineStyle": _dash(number)}) for number in range(len(slots))]


def _dash(number: int) -> dict[str, Any]:
    dash = style.TRIAL_DASHES[number]
    return {"fill": "dash", "dash": list(dash)} if dash else {"fill": "solid"}
