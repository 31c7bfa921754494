"""The board of a sweep: the scorecards of its trials, and what speed costs."""

from grafana_foundation_sdk.models.dashboard import Dashboard

from orchestrator.grafana.boards import queries as q
from orchestrator.grafana.boards import style
from orchestrator.grafana.boards.layout import Section, board, tagged
from orchestrator.grafana.boards.overrides import colour, column, from_query
from orchestrator.grafana.boards.panels import graph, number, scatter
from orchestrator.grafana.boards.queries import SWEEP
from orchestrator.grafana.boards.scorecards import ONE_ROW_EACH, scorecard_table
from orchestrator.grafana.boards.variables import choosing, sweep_variable

UID = "orchestrate-sweep"

COMPARE = {
    "title": "Compare with other trials",
    "url": "/d/orchestrate-compare?var-datasource=${datasource}&"
    + choosing("base", "${__data.fields.Sweep}", "${__data.fields.Trial}"),
    "targetBlank": False,
}
NO_SCORECARD = "no trial of this sweep has ended in the time range"
# Repeats of a setting are one series of points.
BY_SETTING = (*ONE_ROW_EACH, ("partitionByValues", {"fields": ["setting"], "keepFields": True}))


def sweep_board() -> Dashboard:
    """A sweep. One run is no evidence: `orchestrate compare` says which differences are real."""
    return board(
        UID,
        "The trials of one sweep. For which differences are real, ask `orchestrate compare`.",
        variables=[sweep_variable()],
        annotations=[
            tagged(
                "Trials (sweep --annotate)",
                ("orchestrate", "sweep:$sweep_id", "event:trial"),
                style.SUPPLY,
                enabled=True,
            )
        ],
        time=("now-6h", "now"),
        sections=[
            Section(
                "Results so far",
                [
                    number(
                        "Trials ended",
                        "Trials with a scorecard.",
                        q.trials_ended(SWEEP),
                        unit=style.COUNT,
                        decimals=0,
                        no_value="0",
                    ),
                    number(
                        "Valid trials",
                        "Trials that can be trusted; the others enter no result.",
                        q.trials_ended(SWEEP, 'valid="true"'),
                        unit=style.COUNT,
                        decimals=0,
                        no_value="0",
                    ),
                    number(
                        "Fastest valid trial",
                        "The shortest makespan, and the setting that reached it.",
                        q.best(SWEEP, "makespan_s"),
                        unit=style.SECONDS,
                        size=(8, 4),
                        decimals=1,
                        show_name=True,
                    ),
                    number(
                        "Cheapest valid trial",
                        "The lowest cost, and the setting that reached it. Empty where no price is known.",
                        q.best(SWEEP, "cost_usd"),
                        unit=style.DOLLARS,
                        size=(8, 4),
                        decimals=4,
                        show_name=True,
                        no_value="no price known",
                    ),
                ],
            ),
            Section(
                "Course",
                [
                    graph(
                        "Pending tasks and nodes",
                        "Of all trials of the sweep that run, one after another or side by side. Regions are trials, "
                        "where the sweep was run with --annotate.",
                        [q.pending_tasks(SWEEP), q.nodes(SWEEP)],
                        unit=style.COUNT,
                        size=(24, 8),
                        decimals=0,
                        steps=True,
                        overrides=[from_query(0, colour(style.INK))],
                        no_value="no trial of this sweep ran in the time range",
                    )
                ],
            ),
            Section(
                "Trials",
                [
                    scorecard_table(
                        "Scorecards",
                        "One row for each trial that has ended. A trial leads to its board, at its time, a setting "
                        "to the board “Compare”, where others are laid over it.",
                        [q.scorecards(SWEEP), *q.trial_times(SWEEP)],
                        no_value=NO_SCORECARD,
                        height=12,
                        overrides=[column("Setting", {"links": [COMPARE]})],
                    )
                ],
            ),
            Section(
                "Trade-offs",
                [
                    scatter(
                        "Makespan against cost",
                        "Each point is a trial, each colour a setting. Lower left is better; a setting is worth its "
                        "price if nothing is both left of it and below it. Empty where no price is known.",
                        q.scorecards(SWEEP),
                        x=("makespan_s", "makespan", style.SECONDS),
                        y=("cost_usd", "cost", style.DOLLARS),
                        transformations=BY_SETTING,
                        no_value=f"{NO_SCORECARD}, or no price is known",
                    ),
                    scatter(
                        "Too little against too much",
                        "Each point is a trial: mean CPUs that were missing (θ under) and that were idle (θ over).",
                        q.scorecards(SWEEP),
                        x=("theta_u", "θ under: CPUs missing", style.CPUS),
                        y=("theta_o", "θ over: CPUs too many", style.CPUS),
                        transformations=BY_SETTING,
                        no_value=NO_SCORECARD,
                    ),
                ],
            ),
        ],
    )
