"""Queries of the board of an observed cluster."""

from collections.abc import Sequence

from orchestrator.grafana.boards.queries import Query, Scope, growth, latest
from orchestrator.model.events import CURRENT_STATES

OBSERVED = 'sweep_id="observed"'
"""What `observe` has in place of a sweep; the cluster's name is in place of the trial."""
CLUSTER = Scope(f'{OBSERVED}, trial_id="$cluster"')

_EVENTS = "orchestrator_scaling_events_total"
_FAILED = 'event="failed"'
_COMING = 'state=~"requested|allocated|installing"'
_PRESENT = 'state=~"requested|allocated|installing|running|idle"'
# What a launch isn't to blame for.
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
    """By how much the scaling events grew; a counter that begins again with a restart of `observe` is no growth."""
    now = f"sum({CLUSTER.of(_EVENTS, *more)})"
    before = f"sum(last_over_time({Scope(CLUSTER.matchers, duration).of(_EVENTS, *more, window='10m')}))"
    return f"clamp_min({now} - ({before} or 0 * {now}), 0)"


FAILED_IN_AN_HOUR = f"{_since('1h', _FAILED)} or 0 * {LIVING}"


def at_the_end(expr: str, called: str) -> Query:
    """Return a number at the end of the time range."""
    return Query(expr, called, "instant")


def holding() -> Query:
    """Return the query of the reason that holds the cluster back, as a number: see `cluster.HOLDING`."""
    waits = f"sum({CLUSTER.of('orchestrator_pending_cpu_cores')}) > 0"
    coming = f"sum({CLUSTER.of('orchestrator_nodes', _COMING)})"
    present = f"sum({CLUSTER.of('orchestrator_nodes', _PRESENT)})"
    limit = f"sum({CLUSTER.of('orchestrator_cluster_max_workers')})"
    unfit = f"sum({CLUSTER.of('orchestrator_infeasible_tasks')}) > 0"
    reasons = [
        f"6 + 0 * ({unfit})",
        f"(5 + 0 * ({waits})) and {_since('10m', _FAILED, _NO_LAUNCH)} > 0",
        f"(4 + 0 * ({waits})) and {present} >= {limit}",
        f"(3 + 0 * ({waits})) and {coming} > 0",
        f"2 + 0 * ({waits})",
        f"1 + 0 * sum({CLUSTER.of('orchestrator_pending_cpu_cores')})",
    ]
    return Query(" or ".join(f"({reason})" for reason in reasons), "$cluster")


def pending_by_shape() -> Query:
    """Tasks that wait, by what each needs."""
    return Query(f"sum by (shape) ({CLUSTER.of('orchestrator_pending_tasks')}) > 0", "{{shape}}")


def hourly_cost() -> Query:
    """Dollars an hour, by node type."""
    return Query(f"sum by (node_type) ({CLUSTER.of('orchestrator_hourly_cost_dollars')})", "{{node_type}}")


def nodes_by_type() -> Query:
    """Nodes that live, by node type."""
    alive = CLUSTER.of("orchestrator_nodes", 'state=~"running|idle|draining"')
    return Query(f"sum by (node_type) ({alive})", "{{node_type}}")


def nodes_by_state() -> Sequence[Query]:
    """Nodes in each state but the final ones: one query each, which keeps their order."""
    selectors = [CLUSTER.of("trial_arch_state:orchestrator_nodes:sum", f'state="{state}"') for state in CURRENT_STATES]
    return [Query(f"sum by (state) ({each})", "{{state}}") for each in selectors]


def events() -> Query:
    """Return how many nodes entered each state since the step before."""
    return Query(growth(CLUSTER, _EVENTS, "event"), "{{event}}")


def failures() -> Query:
    """Nodes that failed, by node type, architecture and cause."""
    return Query(f"sum by (node_type, arch, cause) ({latest(CLUSTER, _EVENTS, _FAILED)})", kind="table")
