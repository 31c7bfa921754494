"""Queries for the board of an observed cluster."""

from collections.abc import Sequence

from orchestrator.grafana.boards.queries import Query, Scope, growth, latest
from orchestrator.model.events import CURRENT_STATES

OBSERVED = 'sweep_id="observed"'
"""The sweep id that `observe` uses. The name of the cluster takes the place of the trial id."""
CLUSTER = Scope(f'{OBSERVED}, trial_id="$cluster"')

_EVENTS = "orchestrator_scaling_events_total"
_FAILED = 'event="failed"'
_LAUNCH = 'event=~"requested|running"'
_COMING = 'state=~"requested|allocated|installing"'
_PRESENT = 'state=~"requested|allocated|installing|running|idle"'
# Causes that aren't failed launches.
_NO_LAUNCH = 'cause!~"crash|fault|spot_interruption"'

LIVING = f"sum({latest(CLUSTER, 'trial_arch:orchestrator_nodes:sum')})"
COMING = f"sum({latest(CLUSTER, 'orchestrator_nodes', _COMING)})"
PENDING_TASKS = f"sum({latest(CLUSTER, 'trial:orchestrator_pending_tasks:sum')})"
CPU_SHARE = (
    f"sum({latest(CLUSTER, 'trial_arch:orchestrator_cpu_used_cores:sum')})"
    f" / (sum({latest(CLUSTER, 'trial_arch:orchestrator_cpu_capacity_cores:sum')}) > 0)"
)
HOURLY = f"sum({latest(CLUSTER, 'orchestrator_hourly_cost_dollars')})"


def _since(duration: str, *more: str) -> str:
    """Return the growth of the scaling events. A counter reset by a restart of `observe` doesn't count as growth."""
    now = f"sum({CLUSTER.of(_EVENTS, *more)})"
    before = f"sum(last_over_time({Scope(CLUSTER.matchers, duration).of(_EVENTS, *more, window='10m')}))"
    return f"clamp_min({now} - ({before} or 0 * {now}), 0)"


FAILED_IN_AN_HOUR = f"{_since('1h', _FAILED)} or 0 * {LIVING}"


def at_the_end(expr: str, called: str) -> Query:
    """Return the query of a number at the end of the time range."""
    return Query(expr, called, "instant")


def holding() -> Query:
    """Return the query of the bottleneck as a number: see `cluster.HOLDING`."""
    pending = "orchestrator_pending_cpu_cores"
    waits = f"sum({CLUSTER.of(pending)}) > 0"
    # Without the first condition, the time before the observer began would count as waiting.
    long = (
        f"sum({Scope(CLUSTER.matchers, '5m').of(pending)}) > 0"
        f" and min_over_time(sum({CLUSTER.of(pending)})[5m:15s]) > 0"
        f" unless {_since('5m', _LAUNCH)} > 0"
    )
    coming = f"sum({CLUSTER.of('orchestrator_nodes', _COMING)})"
    present = f"sum({CLUSTER.of('orchestrator_nodes', _PRESENT)})"
    # Without the monitor's log, a node is first seen when it joins: other nodes of the same launch follow.
    nodes = "trial_arch:orchestrator_nodes:sum"
    joined = f"sum({CLUSTER.of(nodes)}) > sum({Scope(CLUSTER.matchers, '1m').of(nodes)})"
    limit = f"sum({CLUSTER.of('orchestrator_cluster_max_workers')})"
    unfit = f"sum({CLUSTER.of('orchestrator_infeasible_tasks')}) > 0"
    reasons = [
        f"7 + 0 * ({unfit})",
        f"(6 + 0 * ({waits})) and {_since('10m', _FAILED, _NO_LAUNCH)} > 0",
        f"(5 + 0 * ({waits})) and {present} >= {limit}",
        f"(4 + 0 * ({waits})) and ({coming} > 0 or {joined})",
        f"(3 + 0 * ({waits})) and ({long})",
        f"2 + 0 * ({waits})",
        f"1 + 0 * sum({CLUSTER.of(pending)})",
    ]
    return Query(" or ".join(f"({reason})" for reason in reasons), "$cluster")


def pending_by_shape() -> Query:
    """Return the query of pending tasks, by resource shape."""
    return Query(f"sum by (shape) ({CLUSTER.of('orchestrator_pending_tasks')}) > 0", "{{shape}}")


def hourly_cost() -> Query:
    """Return the query of dollars per hour, by node type."""
    return Query(f"sum by (node_type) ({CLUSTER.of('orchestrator_hourly_cost_dollars')})", "{{node_type}}")


def nodes_by_type() -> Query:
    """Return the query of live nodes, by node type."""
    alive = CLUSTER.of("orchestrator_nodes", 'state=~"running|idle|draining"')
    return Query(f"sum by (node_type) ({alive})", "{{node_type}}")


def nodes_by_state() -> Sequence[Query]:
    """Return one query per state that isn't final: the nodes in it. Separate queries keep the order of the states."""
    selectors = [CLUSTER.of("trial_arch_state:orchestrator_nodes:sum", f'state="{state}"') for state in CURRENT_STATES]
    return [Query(f"sum by (state) ({each})", "{{state}}") for each in selectors]


def events() -> Query:
    """Return the query of nodes that entered each state since the previous step."""
    return Query(growth(CLUSTER, _EVENTS, "event"), "{{event}}")


def failures() -> Query:
    """Return the query of failed nodes, by node type, architecture and cause."""
    return Query(f"sum by (node_type, arch, cause) ({latest(CLUSTER, _EVENTS, _FAILED)})", kind="table")
