"""The board of a sweep: the scorecards of its trials, and what speed costs."""

from grafana_foundation_sdk.models.dashboard import Dashboard

from orchestrator.grafana import queries as q
from orchestrator.grafana import style
from orchestrator.grafana.panels import number, scatter
from orchestrator.grafana.parts import Section, board, sweep_variable
from orchestrator.grafana.queries import SWEEP
from orchestrator.grafana.scorecards import ONE_ROW_EACH, scorecard_table

UID = "orchestrate-sweep"

TRIAL_LINK = (
    "/d/orchestrate-trial?var-datasource=${datasource}&var-sweep_id=${sweep_id}&var-trial_id=${__value.text}"
    "&${__url_time_range}"
)
NO_SCORECARD = "no trial of this sweep has ended in the time range"
# Repeats of a setting are one series of points.
BY_SETTING = (*ONE_ROW_EACH, ("partitionByValues", {"fields": ["setting"], "keepFields": True}))


def sweep_board() -> Dashboard:
    """A sweep. One run is no evidence: `orchestrate compare` says which differences are real."""
    return board(
        UID,
        "The trials of one sweep. For which differences are real, ask `orchestrate compare`.",
        variables=[sweep_variable()],
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
                "Trials",
                [
                    scorecard_table(
                        "Scorecards",
                        "One row for each trial that has ended; a trial leads to its board.",
                        [q.scorecards(SWEEP)],
                        trial_link=TRIAL_LINK,
                        no_value=NO_SCORECARD,
                        height=12,
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
