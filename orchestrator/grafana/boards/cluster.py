"""The board of a cluster that `orchestrate observe` watches: demand, nodes, cost and bottlenecks."""

from grafana_foundation_sdk.models.dashboard import Dashboard, Panel

from orchestrator.grafana.boards import cluster_queries as c
from orchestrator.grafana.boards import queries as q
from orchestrator.grafana.boards import style
from orchestrator.grafana.boards.cluster_queries import CLUSTER
from orchestrator.grafana.boards.layout import Section, board
from orchestrator.grafana.boards.nodes import STATES
from orchestrator.grafana.boards.overrides import DASHED, LIMIT, colour, from_query, lanes_of_architectures, named
from orchestrator.grafana.boards.panels import columns, graph, grid, number, timeline
from orchestrator.grafana.boards.variables import cluster_variable

UID = "orchestrate-cluster"
NO_CLUSTER = "no samples of this cluster in the time range: is `orchestrate observe` running?"
HOLDING = {
    "1": ("no pending tasks", style.GOOD),
    "2": ("tasks wait, no launch seen yet", style.MUTED),
    "3": ("no launch seen for 5 minutes", style.BAD),
    "4": ("nodes are launching", style.STATE["installing"]),
    "5": ("at max_workers", style.STATE["allocated"]),
    "6": ("launches are failing", style.FAULT),
    "7": ("no node type fits", style.INK),
}


def cluster_board() -> Dashboard:
    """Return the board of an observed cluster, which has no trials."""
    return board(
        UID,
        "A Ray cluster watched by `orchestrate observe`. Its name comes from --name; a restart under the same name"
        " continues the series.",
        variables=[cluster_variable()],
        time=("now-1h", "now"),
        sections=[_now(), _demand(), _nodes(), _launches()],
    )


def _now() -> Section:
    def last(title: str, description: str, expr: str, unit: str, decimals: int = 0) -> Panel:
        return number(title, description, c.at_the_end(expr, title), unit=unit, decimals=decimals)

    return Section(
        "",
        [
            timeline(
                "Bottleneck",
                "The most severe known reason why tasks wait: a pending task fits no node type; launches failed"
                " within the last 10 minutes; the cluster is at max_workers; nodes are launching; no launch was seen,"
                " yet or for 5 minutes. The first and third need `observe --cluster`. Without `--monitor-log`, a launch"
                " is seen only when its node joins. If no launch is seen for longer than one takes, run `ray status`:"
                " the autoscaler may be down, or a resource may be missing.",
                c.holding(),
                HOLDING,
                size=(24, 4),
                values=True,
                no_value=NO_CLUSTER,
            ),
            last("Nodes", "Live worker nodes.", c.LIVING, style.COUNT),
            last("Coming", "Nodes requested but not yet running.", c.COMING, style.COUNT),
            last("Pending", "Tasks waiting for a node.", c.PENDING_TASKS, style.COUNT),
            last("CPU use", "Share of the logical CPUs held by tasks.", c.CPU_SHARE, style.SHARE),
            last("Cost, 1 h", "Cost per hour of the nodes billed now, at list price.", c.HOURLY, style.DOLLARS, 2),
            last("Failed, 1 h", "Nodes that failed in the last hour.", c.FAILED_IN_AN_HOUR, style.COUNT),
        ],
    )


def _demand() -> Section:
    return Section(
        "Demand",
        [
            graph(
                "Pending tasks by shape",
                "Pending tasks, stacked by the resources that each needs.",
                [c.pending_by_shape()],
                unit=style.COUNT,
                decimals=0,
                steps=True,
                stacked=True,
                no_value=NO_CLUSTER,
            ),
            graph(
                "Demand and supply",
                "CPUs requested by running and pending tasks, and CPUs of nodes that can run tasks.",
                [q.supply(CLUSTER), q.demand(CLUSTER)],
                unit=style.COUNT,
                decimals=0,
                axis="CPUs",
                steps=True,
                overrides=[
                    from_query(0, {**colour(style.SUPPLY), "custom.fillOpacity": 25, "custom.lineWidth": 5}),
                    from_query(1, colour(style.INK)),
                ],
                no_value=NO_CLUSTER,
            ),
            graph(
                "CPU use by architecture",
                "Share of each architecture's logical CPUs held by tasks. Where lines coincide, the wider one shows"
                " on both sides of the narrower.",
                [q.cpu_share(CLUSTER)],
                unit=style.SHARE,
                decimals=0,
                most=1.05,
                overrides=lanes_of_architectures("held by tasks"),
                no_value=NO_CLUSTER,
            ),
            graph(
                "Hourly cost by node type",
                "Cost per hour of the billed nodes, at list price. Empty if no price is known.",
                [c.hourly_cost()],
                unit=style.DOLLARS,
                steps=True,
                stacked=True,
                no_value="no price is known for these nodes",
            ),
        ],
    )


def _nodes() -> Section:
    return Section(
        "Nodes",
        [
            graph(
                "Nodes by architecture",
                "Live nodes, stacked, and the limit of the cluster shape (dashed; needs --cluster).",
                [q.nodes(CLUSTER), q.most_nodes(CLUSTER)],
                unit=style.COUNT,
                decimals=0,
                steps=True,
                stacked=True,
                overrides=[from_query(1, {**colour(style.INK), **LIMIT})],
                no_value=NO_CLUSTER,
            ),
            graph(
                "Nodes by type",
                "Live nodes, stacked.",
                [c.nodes_by_type()],
                unit=style.COUNT,
                decimals=0,
                steps=True,
                stacked=True,
                no_value=NO_CLUSTER,
            ),
            graph(
                "Nodes by state",
                "Nodes in each state, stacked in the order of a node's life. Ended nodes are excluded.",
                c.nodes_by_state(),
                unit=style.COUNT,
                decimals=0,
                steps=True,
                stacked=True,
                no_value=NO_CLUSTER,
            ),
            graph(
                "Scaling events",
                "Nodes that entered each state, per graph step.",
                [c.events()],
                unit=style.COUNT,
                decimals=0,
                bars=True,
                stacked=True,
                no_value=NO_CLUSTER,
            ),
            timeline(
                "Node states",
                "One row per worker node, 30 per page. With more than 1000 nodes at once, none is shown.",
                q.node_life(CLUSTER),
                STATES,
                size=(24, 12),
                rows=30,
                values=True,
                no_value=NO_CLUSTER,
            ),
        ],
    )


def _launches() -> Section:
    return Section(
        "Launches",
        [
            graph(
                "Launch duration",
                "Median and 95th percentile (dashed) from request to running, over all launches since `observe`"
                " started. Stages need --monitor-log.",
                [q.quantile_of_launches(CLUSTER, "p50"), q.quantile_of_launches(CLUSTER, "p95")],
                unit=style.SECONDS,
                decimals=0,
                steps=True,
                overrides=[
                    *lanes_of_architectures("p50"),
                    *lanes_of_architectures("p95"),
                    named("^p95 ", {"custom.lineStyle": DASHED}),
                ],
                no_value="no complete launch was observed",
            ),
            grid(
                "Node failures by cause",
                "Nodes that failed in the time range, by cause.",
                [c.failures()],
                size=(12, 8),
                unit=style.PLAIN,
                transformations=[
                    columns({"cause": "Cause", "node_type": "Node type", "arch": "Architecture", "Value": "Nodes"})
                ],
                no_value="no node failed",
            ),
        ],
    )
