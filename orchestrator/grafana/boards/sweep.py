"""The board of a sweep: its settings compared, cost against speed, and its trials."""

from grafana_foundation_sdk.models.dashboard import Dashboard

from orchestrator.grafana.boards import queries as q
from orchestrator.grafana.boards import style
from orchestrator.grafana.boards.layout import FIT, Section, board, link, tagged
from orchestrator.grafana.boards.overrides import HIDDEN, column
from orchestrator.grafana.boards.panels import number, scatter, timeline
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
ORDER = "order"
COURSE = "Trials over time"
NO_SCORECARD = "no trial of this sweep has ended yet"
RINGS = (
    "Each ring is a valid trial and each colour a setting. The size only separates the settings: equal results are"
    " rings around each other."
)
# The repeats of a setting form one series of points.
# Their number in this order sizes the points.
BY_SETTING = (
    *ONE_ROW_EACH,
    ("sortBy", {"sort": [{"field": "setting", "desc": False}]}),
    ("calculateField", {"mode": "index", "index": {"asPercentile": False}, "alias": ORDER, "replaceFields": False}),
    ("partitionByValues", {"fields": ["setting"], "keepFields": True}),
)


def sweep_board() -> Dashboard:
    """Return the board of a sweep."""
    return board(
        UID,
        "The settings and trials of one sweep. Only “Course” follows the time range; all other panels show the"
        " whole sweep, however old. For the evidence behind a verdict, run `orchestrate recommend`.",
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
                "Open the board of the newest trial",
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
                "Trials of the sweep that have a scorecard.",
                q.trials_ended(SWEEP_EVER),
                unit=style.COUNT,
                decimals=0,
                no_value="0",
            ),
            number(
                "Invalid",
                "Trials excluded from all results as invalid. The table of trials names them.",
                q.trials_invalid(SWEEP_EVER),
                unit=style.COUNT,
                decimals=0,
            ),
            number(
                "Lowest median makespan",
                "Over the valid trials of each setting. The table shows whether the difference is real.",
                q.best(SWEEP_EVER, "makespan_s"),
                unit=style.SECONDS,
                size=(8, 3),
                decimals=1,
                show_name=True,
            ),
            number(
                "Lowest median cost",
                "Over the valid trials of each setting. Empty if no price is known.",
                q.best(SWEEP_EVER, "cost_usd"),
                unit=style.DOLLARS,
                size=(8, 3),
                decimals=4,
                show_name=True,
            ),
            setting_table(
                "Settings",
                "One row per setting: ended trials, valid trials (n), their medians and the range of their"
                " makespan. The verdict is that of `orchestrate recommend` on makespan, from the trials that had"
                " ended by then. θ: mean CPUs of demand above supply (under) and of supply above demand (over).",
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
                f"{RINGS} Lower left is better. A setting is on the Pareto front if no other is both faster and"
                " cheaper. Empty if no price is known.",
                q.points(SWEEP_EVER, "makespan_s", "cost_usd"),
                x=("makespan_s", "makespan", style.SECONDS),
                y=("cost_usd", "cost", style.DOLLARS),
                size_by=ORDER,
                transformations=BY_SETTING,
                no_value=f"{NO_SCORECARD}, or no price is known",
            ),
            scatter(
                "Under- and over-provisioning",
                f"{RINGS} Mean CPUs missing (θ under) and mean CPUs in excess (θ over).",
                q.points(SWEEP_EVER, "theta_u", "theta_o"),
                x=("theta_u", "θ under: CPUs missing", style.COUNT),
                y=("theta_o", "θ over: excess CPUs", style.COUNT),
                size_by=ORDER,
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
                "One row per ended trial. Click a trial to open its board at its time. Click a setting to open"
                " “Compare” and overlay other trials.",
                [q.scorecards(SWEEP_EVER), *q.trial_times(SWEEP_EVER)],
                height=12,
                overrides=[column("Setting", {"links": [COMPARE]}), column("Sweep", HIDDEN)],
            )
        ],
    )


def _course() -> Section:
    return Section(
        "Course",
        [
            timeline(
                COURSE,
                "One row per setting, with the phases of its trials one after the other. Click a trial in the table"
                " above to see its tasks and nodes. Regions mark trials if the sweep ran with --annotate.",
                q.phases_by_setting(SWEEP),
                {"0": (style.BLANK, style.INVISIBLE), **style.PHASE_NUMBERS},
                size=(24, 9),
                rows=20,
                values=True,
                no_value="no trial of this sweep ran in the time range: click “Fit time” above",
            )
        ],
    )
