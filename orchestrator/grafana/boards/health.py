"""The health board: the autoscaler, the observer and the scrapes, with the traps in Ray's own metrics."""

from grafana_foundation_sdk.models.dashboard import Dashboard

from orchestrator.grafana.boards import health_queries as q
from orchestrator.grafana.boards import queries, style
from orchestrator.grafana.boards.layout import Section, board
from orchestrator.grafana.boards.overrides import DASHED, UNSTACKED, colour, column, from_query, named
from orchestrator.grafana.boards.panels import columns, graph, grid, timeline
from orchestrator.grafana.boards.variables import sweep_variable, trial_variable

UID = "orchestrate-health"

REACHED = {"0": ("not reached", style.BAD), "1": ("reached", style.GOOD)}
ALERTING = {"1": ("pending", style.MUTED), "2": ("firing", style.BAD)}
NO_AUTOSCALER = "no data: no cluster is running, port 44217 isn't scraped, or v2 is running, which doesn't report this"
V1_ONLY = "Trap: under v2, the default autoscaler, this never changes."


def health_board() -> Dashboard:
    """Return the board that shows whether the numbers are reliable and where time goes."""
    return board(
        UID,
        "The health of the measurement: Ray's autoscaler, our observer and the scrapes of Prometheus.",
        variables=[sweep_variable(all_of_them=True), trial_variable(all_of_them=True)],
        sections=[_alerts(), _autoscaler(), _observer(), _scrapes(), _v1_only()],
    )


def _alerts() -> Section:
    return Section(
        "",
        [
            grid(
                "Alerts now",
                "Alerts that are firing or pending at the end of the time range. docs/runbook.md explains what to"
                " do. Shows alerts from Prometheus rules, not those that Grafana evaluates.",
                [queries.alerts(q.CLUSTER)],
                size=(12, 6),
                unit=style.PLAIN,
                transformations=[columns(_ALERT_COLUMNS, "Time", "Value")],
                overrides=[
                    column("Alert", {"custom.width": 250}),
                    column("State", {"custom.width": 75}),
                    column("Severity", {"custom.width": 80}),
                    column("Trial", {"links": [_ALERTED_TRIAL]}),
                ],
                no_value="no alert is firing",
            ),
            timeline(
                "Alerts over time",
                "Each alert while its condition holds (grey) and while it is firing (red).",
                queries.alerts_over_time(q.CLUSTER),
                ALERTING,
                size=(12, 6),
                no_value="no alert fired in the time range",
            ),
        ],
    )


_ALERT_COLUMNS = {
    "alertname": "Alert",
    "alertstate": "State",
    "severity": "Severity",
    "trial_id": "Trial",
    "sweep_id": "Sweep",
}
_ALERTED_TRIAL = {
    "title": "Open the trial",
    "url": "/d/orchestrate-trial?var-datasource=${datasource}&var-sweep_id=${__data.fields.Sweep}"
    "&var-trial_id=${__value.text}&${__url_time_range}",
    "targetBlank": False,
}


def _autoscaler() -> Section:
    return Section(
        "The autoscaler",
        [
            graph(
                "Requests in flight",
                "Nodes requested from the cloud but not yet allocated, as our observer sees them, by architecture."
                " v2 allows 10 at once (AUTOSCALER_MAX_CONCURRENT_LAUNCHES). Dashed: nodes that Ray calls pending,"
                " which include booting nodes.",
                q.requests_in_flight(),
                unit=style.COUNT,
                decimals=0,
                steps=True,
                stacked=True,
                overrides=[named("^Ray: ", {**UNSTACKED, "custom.lineStyle": DASHED, "custom.lineWidth": 2})],
            ),
            graph(
                "Nodes reported by Ray's head",
                "ray_cluster_*_nodes, every 10 s, including the head. Trap: “failed” (dashed) counts every ended"
                " node, even after a normal scale-down, and never decreases. The board “Nodes” shows real failures.",
                q.cluster_nodes(),
                unit=style.COUNT,
                decimals=0,
                steps=True,
                overrides=[named("^“failed”$", {**colour(style.MUTED), "custom.lineStyle": DASHED})],
                no_value="Ray's own metrics aren't scraped, or no cluster is running",
            ),
            graph(
                "Nodes counted by the autoscaler",
                "Trap: under v2, “recently failed” (autoscaler_recently_failed_nodes) counts nodes that are being"
                " terminated, so every normal scale-down looks like failures. The board “Nodes” shows real"
                " failures.",
                q.autoscaler_nodes(),
                unit=style.COUNT,
                decimals=0,
                steps=True,
                size=(16, 9),
                overrides=[named("^“recently failed” ", {"custom.lineStyle": DASHED})],
                no_value=NO_AUTOSCALER,
            ),
            graph(
                "CPUs counted by the autoscaler",
                "Trap: under v2, pending CPUs keep their last value when nothing is pending, and cluster CPUs keep"
                " theirs when the last node has ended. Ray sets them only while there is something to count.",
                q.autoscaler_cpus(),
                unit=style.COUNT,
                size=(8, 9),
                decimals=0,
                axis="CPUs",
                steps=True,
                overrides=[from_query(1, {"custom.lineStyle": DASHED})],
                no_value=NO_AUTOSCALER,
            ),
        ],
    )


def _observer() -> Section:
    return Section(
        "The observer",
        [
            graph(
                "Observer lag",
                "Age of the newest poll of the cluster. It should stay near the poll interval (0.5 s). Beyond a few"
                " seconds, the times of events are too late.",
                [q.observer_lag()],
                unit=style.SECONDS,
                size=(8, 8),
                no_value="no cluster is observed",
            ),
            graph(
                "Poll duration",
                "Median and 95th percentile (dashed) of the duration of our requests to the cluster's GCS.",
                q.poll_time(),
                unit=style.SECONDS,
                size=(8, 8),
                overrides=[named("^p95 ", {"custom.lineStyle": DASHED})],
                no_value="no cluster is observed",
            ),
            graph(
                "Failed polls",
                "Failed requests to the cluster's GCS. The scorecard flags a trial with gaps.",
                [q.observer_errors()],
                unit=style.COUNT,
                size=(8, 8),
                decimals=0,
                bars=True,
                overrides=[named(".*", colour(style.BAD))],
                no_value="no cluster is observed",
            ),
        ],
    )


def _scrapes() -> Section:
    return Section(
        "Scrapes",
        [
            timeline(
                "Targets",
                "Targets that Prometheus reaches. `orchestrator` is present only while a sweep or an observer runs."
                " A node that ends is red for up to 10 s. If a board has no data, one of Ray's ports (8080, 44217,"
                " 44227) usually isn't scraped.",
                q.scrapes(),
                REACHED,
                size=(24, 9),
                rows=20,
                no_value="Prometheus has no targets",
            ),
            graph(
                "Scrape duration",
                "The slowest target of each job. A target near the scrape interval (5 s) loses samples.",
                [q.scrape_time()],
                unit=style.SECONDS,
                no_value="Prometheus has no targets",
            ),
            graph(
                "Samples per scrape",
                "Samples that Prometheus stores per scrape, over all targets of a job.",
                [q.scrape_samples()],
                unit=style.COUNT,
                decimals=0,
                steps=True,
                no_value="Prometheus has no targets",
            ),
        ],
    )


def _v1_only() -> Section:
    return Section(
        "v1 autoscaler only",
        collapsed=True,
        panels=[
            graph(
                "Update duration",
                f"Median and 95th percentile (dashed) of the autoscaler's update loop. {V1_ONLY} Ray's buckets are "
                "powers of ten, so read only the order of magnitude.",
                q.update_time(),
                unit=style.SECONDS,
                overrides=[from_query(1, {"custom.lineStyle": DASHED})],
                no_value=NO_AUTOSCALER,
            ),
            graph(
                "Updates per second",
                f"0.2 at the default interval of 5 s; less if updates take longer. {V1_ONLY}",
                [q.updates()],
                unit="ops",
                decimals=2,
                no_value=NO_AUTOSCALER,
            ),
            graph(
                "Launch call duration",
                "Median and 95th percentile (dashed) of calls to the cloud that create nodes. A batch counts once per "
                f"node. {V1_ONLY}",
                q.launch_calls(),
                unit=style.SECONDS,
                size=(8, 8),
                overrides=[from_query(1, {"custom.lineStyle": DASHED})],
                no_value=NO_AUTOSCALER,
            ),
            graph(
                "Nodes started, stopped and failed",
                "Trap: under v2, only “stopped” changes; started and failed stay 0. The scaling events on the board"
                " “Trial” count all three.",
                q.autoscaler_counts(),
                unit=style.COUNT,
                size=(8, 8),
                decimals=0,
                bars=True,
                no_value=NO_AUTOSCALER,
            ),
            graph(
                "Autoscaler exceptions",
                f"Exceptions by origin. {V1_ONLY} See monitor.err instead.",
                q.autoscaler_exceptions(),
                unit=style.COUNT,
                size=(8, 8),
                decimals=0,
                bars=True,
                no_value=NO_AUTOSCALER,
            ),
        ],
    )
