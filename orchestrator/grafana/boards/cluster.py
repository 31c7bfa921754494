"""The board of a cluster that `orchestrate observe` watches: what waits, what runs, what it costs, what holds it."""

from grafana_foundation_sdk.models.dashboard import Dashboard, Panel

from orchestrator.grafana.boards import cluster_queries as c
from orchestrator.grafana.boards import queries as q
from orchestrator.grafana.boards import style
from orchestrator.grafana.boards.cluster_queries import CLUSTER
from orchestrator.grafana.boards.layout import Section, board
from orchestrator.grafana.boards.nodes import STATES
from orchestrator.grafana.boards.overrides import DASHED, LIMIT, colour, from_query, lanes_of_architectures, named
from orchestrator.grafana.boards.panels import graph, grid, number, timeline
from orchestrator.grafana.boards.variables import cluster_variable

UID = "orchestrate-cluster"
NO_CLUSTER = "no samples of this cluster in the time range: does `orchestrate observe` run?"
HOLDING = {
    "1": ("no task waits", style.GOOD),
    "2": ("tasks wait, nothing is launched", style.BAD),
    "3": ("nodes are on their way", style.STATE["installing"]),
    "4": ("at max_workers", style.STATE["allocated"]),
    "5": ("launches fail", style.FAULT),
    "6": ("no node type fits", style.INK),
}


def cluster_board() -> Dashboard:
    """Return a cluster without trials, for as long as it is observed."""
    return board(
        UID,
        "A Ray cluster that `orchestrate observe` watches. Its name is that of --name; a restart goes on with it.",
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
                "Why nothing happens",
                "What holds the cluster back, as far as it is known, the gravest first: a pending task that fits no "
                "node type; launches that failed within 10 minutes; max_workers (the first and the third are known "
                "with `observe --cluster` only); nodes that are on their way. Where tasks wait and nothing is "
                "launched, ask `ray status`: the autoscaler may be dead, or a resource missing.",
                c.holding(),
                HOLDING,
                size=(24, 4),
                values=True,
                no_value=NO_CLUSTER,
            ),
            last("Nodes", "Worker nodes that live.", c.LIVING, style.COUNT),
            last("Coming", "Nodes that are requested and don't run yet.", c.COMING, style.COUNT),
            last("Pending", "Tasks that wait for a node.", c.PENDING_TASKS, style.COUNT),
            last("CPU use", "Share of the logical CPUs that tasks hold.", c.CPU_SHARE, style.SHARE),
            last("Cost, 1 h", "Of the nodes that are billed now, at list price.", c.HOURLY, style.DOLLARS, 2),
            last("Failed, 1 h", "Nodes that failed within the last hour.", c.FAILED_IN_AN_HOUR, style.COUNT),
        ],
    )


def _demand() -> Section:
    return Section(
        "Demand",
        [
            graph(
                "Pending tasks by shape",
                "Tasks that wait, stacked by what each needs.",
                [c.pending_by_shape()],
                unit=style.COUNT,
                decimals=0,
                steps=True,
                stacked=True,
                no_value=NO_CLUSTER,
            ),
            graph(
                "Demand and supply",
                "CPUs asked for by tasks that run or wait, and CPUs of nodes that can run tasks.",
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
                "Share of each architecture's logical CPUs that tasks hold; where they are equal, the wider line shows "
                "on both sides of the narrower.",
                [q.cpu_share(CLUSTER)],
                unit=style.SHARE,
                decimals=0,
                most=1.05,
                overrides=lanes_of_architectures("held by tasks"),
                no_value=NO_CLUSTER,
            ),
            graph(
                "Cost an hour by node type",
                "Of the nodes that are billed, at list price. Empty where no price is known.",
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
                "Nodes that live, stacked, and the most that the cluster's shape allows (dashed; with --cluster).",
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
                "Nodes that live, stacked.",
                [c.nodes_by_type()],
                unit=style.COUNT,
                decimals=0,
                steps=True,
                stacked=True,
                no_value=NO_CLUSTER,
            ),
            graph(
                "Nodes by state",
                "Nodes in each state, stacked in the order of a node's life; without those that are gone.",
                c.nodes_by_state(),
                unit=style.COUNT,
                decimals=0,
                steps=True,
                stacked=True,
                no_value=NO_CLUSTER,
            ),
            graph(
                "Scaling events",
                "How many nodes entered a state, in each step of the graph.",
                [c.events()],
                unit=style.COUNT,
                decimals=0,
                bars=True,
                stacked=True,
                no_value=NO_CLUSTER,
            ),
            timeline(
                "States of nodes",
                "One row for each worker node, 30 on a page. Of more than 1000 nodes at once, none is shown.",
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
                "Duration of launches",
                "Median and 95th percentile (dashed) from request to running, over all launches since `observe` began. "
                "The stages are known with --monitor-log only.",
                [q.quantile_of_launches(CLUSTER, "p50"), q.quantile_of_launches(CLUSTER, "p95")],
                unit=style.SECONDS,
                decimals=0,
                steps=True,
                overrides=[
                    *lanes_of_architectures("p50"),
                    *lanes_of_architectures("p95"),
                    named("^p95 ", {"custom.lineStyle": DASHED}),
                ],
                no_value="no launch was seen from its request to its end",
            ),
            grid(
                "Why nodes failed",
                "Failed nodes of the time range by cause.",
                [c.failures()],
                size=(12, 8),
                unit=style.PLAIN,
                transformations=[
                    (
                        "organize",
                        {
                            "excludeByName": {"Time": True},
                            "indexByName": {"cause": 0, "node_type": 1, "arch": 2, "Value": 3},
                            "renameByName": {
                                "cause": "Cause",
                                "node_type": "Node type",
                                "arch": "Architecture",
                                "Value": "Nodes",
                            },
                        },
                    )
                ],
                no_value="no node failed",
            ),
        ],
    )
