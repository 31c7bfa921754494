"""The board of the machinery: the autoscaler, the observer and the scrapes, with the traps in Ray's own metrics."""

from grafana_foundation_sdk.models.dashboard import Dashboard

from orchestrator.grafana.boards import health_queries as q
from orchestrator.grafana.boards import queries, style
from orchestrator.grafana.boards.layout import Section, board
from orchestrator.grafana.boards.overrides import DASHED, UNSTACKED, colour, column, from_query, named
from orchestrator.grafana.boards.panels import graph, grid, timeline
from orchestrator.grafana.boards.variables import sweep_variable, trial_variable

UID = "orchestrate-health"

REACHED = {"0": ("not reached", style.BAD), "1": ("reached", style.GOOD)}
ALERTING = {"1": ("waits to fire", style.MUTED), "2": ("fires", style.BAD)}
NO_AUTOSCALER = "nothing: no cluster runs, port 44217 isn't scraped, or v2 runs, which doesn't report this"
V1_ONLY = "Trap: under the v2 autoscaler, the default, this never moves."


def health_board() -> Dashboard:
    """Can the numbers be trusted, and where does time go?"""
    return board(
        UID,
        "Whether the numbers can be trusted: the autoscaler's own, our observer and Prometheus' scrapes.",
        variables=[sweep_variable(all_of_them=True), trial_variable(all_of_them=True)],
        sections=[_alerts(), _autoscaler(), _observer(), _scrapes(), _v1_only()],
    )


def _alerts() -> Section:
    return Section(
        "",
        [
            grid(
                "Alerts now",
                "What fires, or waits to fire, at the end of the time range; docs/runbook.md says what to do. Alerts "
                "of Prometheus' own rules, not those that Grafana evaluates.",
                [queries.alerts(q.CLUSTER)],
                size=(12, 6),
                unit=style.PLAIN,
                transformations=[
                    (
                        "organize",
                        {
                            "excludeByName": {"Time": True, "Value": True},
                            "indexByName": {name: position for position, name in enumerate(_ALERT_COLUMNS)},
                            "renameByName": _ALERT_COLUMNS,
                        },
                    )
                ],
                overrides=[
                    column("Alert", {"custom.width": 250}),
                    column("State", {"custom.width": 75}),
                    column("Severity", {"custom.width": 80}),
                    column("Trial", {"links": [_ALERTED_TRIAL]}),
                ],
                no_value="no alert fires",
            ),
            timeline(
                "Alerts over time",
                "From the moment at which an alert's condition holds (grey) to its firing (red) and its end.",
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
                "Nodes requested from the cloud and not allocated yet, as seen by us, by architecture; v2 allows 10 at "
                "once (AUTOSCALER_MAX_CONCURRENT_LAUNCHES). Dashed: nodes that Ray calls pending, which are also those "
                "that boot.",
                q.requests_in_flight(),
                unit=style.COUNT,
                decimals=0,
                steps=True,
                stacked=True,
                overrides=[named("^Ray: ", {**UNSTACKED, "custom.lineStyle": DASHED, "custom.lineWidth": 2})],
            ),
            graph(
                "Nodes, as the autoscaler counts them",
                "Trap: under v2, “recently failed” (autoscaler_recently_failed_nodes) counts nodes that are being "
                "terminated, so that every normal scale-down looks like failures. Failures are on the board “Nodes”.",
                q.autoscaler_nodes(),
                unit=style.COUNT,
                decimals=0,
                steps=True,
                overrides=[named("^“recently failed” ", {"custom.lineStyle": DASHED})],
                no_value=NO_AUTOSCALER,
            ),
            graph(
                "Nodes, as Ray's head reports them",
                "ray_cluster_*_nodes, every 10 s, with the head. Trap: “failed” (dashed) counts each node that is "
                "gone, also after an ordinary scale-down, and never falls. Failures are on the board “Nodes”.",
                q.cluster_nodes(),
                unit=style.COUNT,
                decimals=0,
                steps=True,
                overrides=[named("^“failed”$", {**colour(style.MUTED), "custom.lineStyle": DASHED})],
                no_value="Ray's own metrics aren't scraped, or no cluster runs",
            ),
            graph(
                "CPUs, as the autoscaler counts them",
                "Trap: under v2, pending CPUs keep their last value when nothing is pending any more, and the "
                "cluster's when the last node has gone: they are set only while there is something to count.",
                q.autoscaler_cpus(),
                unit=style.COUNT,
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
                "The age of our newest look at the cluster. It should stay near the interval of the looks (0.5 s); "
                "beyond a few seconds, events carry times that are too late.",
                [q.observer_lag()],
                unit=style.SECONDS,
                size=(8, 8),
                no_value="no cluster is observed",
            ),
            graph(
                "Poll duration",
                "Median and 95th percentile (dashed) of how long our requests to the cluster's GCS took.",
                q.poll_time(),
                unit=style.SECONDS,
                size=(8, 8),
                overrides=[named("^p95 ", {"custom.lineStyle": DASHED})],
                no_value="no cluster is observed",
            ),
            graph(
                "Failed polls",
                "How many requests to the cluster's GCS failed; a trial with gaps is flagged in its scorecard.",
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
                "Which targets Prometheus reaches. `orchestrator` is there only while a sweep or an observer runs, and "
                "a node that ends is red for up to 10 s. A board without data is most often one of Ray's ports (8080, "
                "44217, 44227) that isn't scraped.",
                q.scrapes(),
                REACHED,
                size=(24, 9),
                rows=20,
                no_value="Prometheus has no targets",
            ),
            graph(
                "Duration of scrapes",
                "The slowest target of each job. One that comes near the scrape interval (5 s) loses samples.",
                [q.scrape_time()],
                unit=style.SECONDS,
                no_value="Prometheus has no targets",
            ),
            graph(
                "Samples in a scrape",
                "Of all targets of a job together: what Prometheus has to store each time.",
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
        "What only the v1 autoscaler reports",
        collapsed=True,
        panels=[
            graph(
                "Duration of an update",
                f"Median and 95th percentile (dashed) of the autoscaler's update loop. {V1_ONLY} Ray's buckets are "
                "powers of ten: take it as an order of magnitude.",
                q.update_time(),
                unit=style.SECONDS,
                overrides=[from_query(1, {"custom.lineStyle": DASHED})],
                no_value=NO_AUTOSCALER,
            ),
            graph(
                "Updates a second",
                f"0.2 at the default interval of 5 s; less if an update takes longer than that. {V1_ONLY}",
                [q.updates()],
                unit="ops",
                decimals=2,
                no_value=NO_AUTOSCALER,
            ),
            graph(
                "Calls that create nodes",
                "Median and 95th percentile (dashed) of calls to the cloud. A batch counts once for each of its nodes. "
                f"{V1_ONLY}",
                q.launch_calls(),
                unit=style.SECONDS,
                size=(8, 8),
                overrides=[from_query(1, {"custom.lineStyle": DASHED})],
                no_value=NO_AUTOSCALER,
            ),
            graph(
                "Nodes started, stopped, failed to create",
                "Trap: under v2 only “stopped” moves; started and failed stay 0 whatever happens. The scaling events "
                "on the board “Trial” count them all.",
                q.autoscaler_counts(),
                unit=style.COUNT,
                size=(8, 8),
                decimals=0,
                bars=True,
                no_value=NO_AUTOSCALER,
            ),
            graph(
                "Exceptions of the autoscaler",
                f"By where they were raised. {V1_ONLY} Look into monitor.err instead.",
                q.autoscaler_exceptions(),
                unit=style.COUNT,
                size=(8, 8),
                decimals=0,
                bars=True,
                no_value=NO_AUTOSCALER,
            ),
        ],
    )
