"""The board of a sweep: its settings against each other, what speed costs, and its trials."""

from grafana_foundation_sdk.models.dashboard import Dashboard

from orchestrator.grafana.boards import queries as q
from orchestrator.grafana.boards import style
from orchestrator.grafana.boards.layout import FIT, Section, board, link, tagged
from orchestrator.grafana.boards.overrides import colour, column, from_query
from orchestrator.grafana.boards.panels import graph, number, scatter
from orchestrator.grafana.boards.queries import SWEEP, SWEEP_EVER
from orchestrator.grafana.boards.scorecards import ONE_ROW_EACH, scorecard_table
from orchestrator.grafana.boards.setting_table import setting_table
from orchestrator.grafana.boards.variables import (
    choosing,
    sweep_variable,
    times_of_newest_trial,
    times_of_sweep,
)

UID = "orchestrate-sweep"

COMPARE = {
    "title": "Compare with other trials",
    "url": "/d/orchestrate-compare?var-datasource=${datasource}&"
    + choosing("base", "${__data.fields.Sweep}", "${__data.fields.Trial}"),
    "targetBlank": False,
}
COURSE = "Pending tasks and nodes"
NO_SCORECARD = "no trial of this sweep has ended yet"
# Repeats of a setting are one series of points.
BY_SETTING = (*ONE_ROW_EACH, ("partitionByValues", {"fields": ["setting"], "keepFields": True}))


def sweep_board() -> Dashboard:
    """Return a sweep. One run is no evidence: `orchestrate compare` says which differences are real."""
    return board(
        UID,
        "The settings and the trials of one sweep, however long ago it was: only “Course” follows the time range. "
        "For the evidence behind a verdict, ask `orchestrate recommend`.",
        variables=[sweep_variable(), *times_of_sweep(), *times_of_newest_trial()],
        annotations=[
            tagged(
                "Trials (sweep --annotate)",
                ("orchestrate", "sweep:$sweep_id", "event:trial"),
                style.MUTED,
                enabled=True,
            )
        ],
        annotated=[COURSE],
        links=[
            link(
                FIT,
                "The whole sweep, from the first trial to the last",
                f"/d/{UID}?from=${{sweep_from}}&to=${{sweep_to}}",
                with_variables=True,
            ),
            link(
                "Newest trial",
                "The board of the trial that runs, or ran last",
                "/d/orchestrate-trial?from=${trial_from}&to=${trial_to}",
                with_variables=True,
            ),
        ],
        time=("now-6h", "now"),
        sections=[_results(), _trade_offs(), _trials(), _course()],
    )


def _results() -> Section:
    return Section(
        "",
        [
            number(
                "Ended",
                "Trials of the whole sweep that have a scorecard.",
                q.trials_ended(SWEEP_EVER),
                unit=style.COUNT,
                decimals=0,
                no_value="0",
            ),
            number(
                "Invalid",
                "Trials that can't be trusted and enter no result; the table of trials says which.",
                q.trials_invalid(SWEEP_EVER),
                unit=style.COUNT,
                decimals=0,
            ),
            number(
                "Lowest median makespan",
                "Over the valid trials of each setting. The table says whether the difference is real.",
                q.best(SWEEP_EVER, "makespan_s"),
                unit=style.SECONDS,
                size=(8, 3),
                decimals=1,
                show_name=True,
            ),
            number(
                "Lowest median cost",
                "Over the valid trials of each setting. Empty where no price is known.",
                q.best(SWEEP_EVER, "cost_usd"),
                unit=style.DOLLARS,
                size=(8, 3),
                decimals=4,
                show_name=True,
            ),
            setting_table(
                "Settings",
                "One row for each setting: how many trials have ended, how many of them are valid (n), the medians of "
                "those, and the range of their makespan. The verdict is that of `orchestrate recommend` on makespan, "
                "as of the trials that had ended then. θ: mean CPUs of demand beyond supply (under) and of supply "
                "beyond demand (over).",
                height=8,
            ),
        ],
    )


def _trade_offs() -> Section:
    return Section(
        "Trade-offs",
        [
            scatter(
                "Makespan against cost",
                "Each point is a valid trial, each colour a setting. Lower left is better; a setting is worth its "
                "price if nothing is both left of it and below it. Empty where no price is known.",
                q.points(SWEEP_EVER, "makespan_s", "cost_usd"),
                x=("makespan_s", "makespan", style.SECONDS),
                y=("cost_usd", "cost", style.DOLLARS),
                transformations=BY_SETTING,
                no_value=f"{NO_SCORECARD}, or no price is known",
            ),
            scatter(
                "Too little against too much",
                "Each point is a valid trial: mean CPUs that were missing (θ under) and that were idle (θ over).",
                q.points(SWEEP_EVER, "theta_u", "theta_o"),
                x=("theta_u", "θ under: CPUs missing", style.COUNT),
                y=("theta_o", "θ over: CPUs too many", style.COUNT),
                transformations=BY_SETTING,
                no_value=NO_SCORECARD,
            ),
        ],
    )


def _trials() -> Section:
    return Section(
        "Trials",
        [
            scorecard_table(
                "Scorecards",
                "One row for each trial that has ended. A trial leads to its board, at its time, a setting "
                "to the board “Compare”, where others are laid over it.",
                [q.scorecards(SWEEP_EVER), *q.trial_times(SWEEP_EVER)],
                height=12,
                overrides=[column("Setting", {"links": [COMPARE]})],
            )
        ],
    )


def _course() -> Section:
    return Section(
        "Course",
        [
            graph(
                COURSE,
                "Of all trials of the sweep that run in the time range, one after another or side by side: tasks that "
                "wait (left) and nodes that live (right). Regions are trials, where the sweep was run with --annotate.",
                [q.pending_tasks(SWEEP), q.nodes(SWEEP)],
                unit=style.COUNT,
                size=(24, 8),
                decimals=0,
                axis="tasks",
                steps=True,
                listed=True,
                overrides=[
                    from_query(0, colour(style.INK)),
                    from_query(
                        1,
                        {
                            "custom.axisPlacement": "right",
                            "custom.axisLabel": "nodes",
                            "custom.stacking": {"mode": "normal", "group": "nodes"},
                            "custom.fillOpacity": 35,
                            "custom.lineWidth": 0,
                        },
                    ),
                ],
                no_value="no trial of this sweep ran in the time range: take the link “Fit time” above",
            )
        ],
    )
