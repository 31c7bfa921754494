"""What the boards ask Prometheus. `docs/metrics.md` lists the metrics, `prometheus/rules/` the rules (with a colon)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from orchestrator.model.events import FINAL_STATES, NodeState

Kind = Literal["range", "instant", "table", "heatmap"]

STAGES = ("launch", "request", "boot", "install")
"""Of `orchestrator_node_stage_seconds`; `launch` is all of them together."""

ANNOTATED_EVENTS: Sequence[NodeState] = ("requested", "running", "terminated", "failed")
"""The scaling events that a graph marks; tasks make nodes go between `running` and `idle` too often."""

_SETTINGS = (
    "setting, backend, autoscaler, upscaling_speed, idle_timeout_minutes, target_utilization_fraction, workload, repeat"
)
_TRIAL = "sweep_id, trial_id, setting, repeat, valid"


@dataclass(frozen=True)
class Query:
    """One query of a panel, and how its series are called."""

    expr: str
    legend: str = ""
    kind: Kind = "range"


@dataclass(frozen=True)
class Scope:
    """Which series a query takes (`matchers`), and by how much they are moved in time (`offset`)."""

    matchers: str = ""
    offset: str = ""

    def of(self, metric: str, *more: str, window: str = "") -> str:
        """A selector of `metric` in this scope with `more` matchers, over `window` if it is given."""
        matchers = ", ".join(each for each in (self.matchers, *more) if each)
        selector = metric + (f"{{{matchers}}}" if matchers else "") + (f"[{window}]" if window else "")
        return f"{selector} offset {self.offset}" if self.offset else selector


TRIAL = Scope('sweep_id="$sweep_id", trial_id="$trial_id"')
SWEEP = Scope('sweep_id="$sweep_id"')


def growth(scope: Scope, metric: str, by: str, *more: str) -> str:
    """By how much a counter grew since the step before: exact, and the first event counts.

    `increase()` misses what a series begins with, and these series begin with their first event; it also
    extrapolates one event into fractions of it.
    """
    now = f"sum by ({by}) ({scope.of(metric, *more)})"
    # The last sample of ten minutes, and not only that of the step before: a scrape may have failed.
    earlier = Scope(scope.matchers, "$__interval").of(metric, *more, window="10m")
    before = f"sum by ({by}) (last_over_time({earlier}))"
    return f"clamp_min({now} - ({before} or 0 * {now}), 0)"


def quantile(q: float, scope: Scope, histogram: str, by: str = "", *more: str) -> str:
    """A quantile of a histogram's newest observations."""
    rate = f"rate({scope.of(f'{histogram}_bucket', *more, window='$__rate_interval')})"
    return f"histogram_quantile({q:g}, sum by ({', '.join(each for each in ('le', by) if each)}) ({rate}))"


# A trial


def pending_tasks(scope: Scope, called: str = "pending tasks") -> Query:
    """Tasks that wait."""
    return Query(f"sum({scope.of('trial:orchestrator_pending_tasks:sum')})", called)


def pending_cpus(scope: Scope, called: str = "pending") -> Query:
    """CPUs that the waiting tasks need."""
    return Query(f"sum({scope.of('trial:orchestrator_pending_cpu_cores:sum')})", called)


def nodes(scope: Scope, called: str = "nodes") -> Query:
    """Worker nodes by architecture."""
    return Query(f"sum by (arch) ({scope.of('trial_arch:orchestrator_nodes:sum')})", f"{called} {{{{arch}}}}")


def most_nodes(scope: Scope) -> Query:
    """The cluster's upper limit by architecture."""
    return Query(f"sum by (arch) ({scope.of('orchestrator_max_workers')})", "max_workers {{arch}}")


def node_states(scope: Scope) -> Sequence[Query]:
    """Nodes of the architecture `$arch` in each state but the final ones: one query each, which keeps their order."""
    rule = "trial_arch_state:orchestrator_nodes:sum"
    states = [state for state in get_args(NodeState) if state not in FINAL_STATES]
    selectors = [scope.of(rule, 'arch=~"$arch"', f'state="{state}"') for state in states]
    return [Query(f"sum by (state) ({each})", "{{state}}") for each in selectors]


def cpus_used(scope: Scope, called: str = "CPUs used") -> Query:
    """Logical CPUs that tasks hold, by architecture."""
    return Query(f"sum by (arch) ({scope.of('trial_arch:orchestrator_cpu_used_cores:sum')})", f"{called} {{{{arch}}}}")


def cpus_present(scope: Scope) -> Query:
    """Logical CPUs of the nodes that are running or idle, by architecture."""
    return Query(f"sum by (arch) ({scope.of('trial_arch:orchestrator_cpu_capacity_cores:sum')})", "CPUs {{arch}}")


def cpu_share(scope: Scope, called: str = "held by tasks") -> Query:
    """Share of the logical CPUs that tasks hold, by architecture."""
    return Query(f"max by (arch) ({scope.of('trial_arch:orchestrator_cpu_used:ratio')})", f"{called} {{{{arch}}}}")


def machine_share(scope: Scope) -> Query:
    """Share of the machines' CPU time that is used, as Ray measures it, by architecture."""
    return Query(f"max by (arch) ({scope.of('trial_arch:ray_node_cpu_utilization:avg')})", "machine {{arch}}")


def demand(scope: Scope, called: str = "demand") -> Query:
    """CPUs asked for: by tasks that run and by those that wait."""
    return Query(f"sum({scope.of('trial:orchestrator_demand_cores:sum')})", called)


def supply(scope: Scope, called: str = "supply") -> Query:
    """CPUs of nodes that are running or idle."""
    return Query(f"sum({scope.of('trial:orchestrator_supply_cores:sum')})", called)


def cost(scope: Scope, called: str = "cost") -> Query:
    """Dollars so far."""
    return Query(f"sum({scope.of('trial:orchestrator_cost_dollars:sum')})", called)


def cost_by_arch(scope: Scope) -> Query:
    """Dollars so far by architecture."""
    return Query(f"sum by (arch) ({scope.of('trial_arch:orchestrator_cost_dollars:sum')})", "{{arch}}")


def phases(scope: Scope) -> Query:
    """1 for the phase that the trial is in, 0 for the others."""
    return Query(f"max by (phase) ({scope.of('orchestrator_trial_phase')})", "{{phase}}")


def last_phase(scope: Scope) -> Query:
    """The phase that the trial is in, or was in when it ended."""
    last = f"last_over_time({scope.of('orchestrator_trial_phase', window='$__range')})"
    return Query(f"max by (phase) ({last}) == 1", "{{phase}}", "instant")


def settings(scope: Scope) -> Query:
    """The trial's settings, as labels."""
    last = f"last_over_time({scope.of('orchestrator_trial_info', window='$__range')})"
    return Query(f"max by ({_SETTINGS}) ({last})", kind="table")


def elapsed(scope: Scope) -> Query:
    """Seconds since the workload was submitted, while the trial lives."""
    return Query(f"time() - max({scope.of('orchestrator_trial_start_timestamp_seconds')})", "elapsed")


def scaling_events(scope: Scope) -> Query:
    """Scaling events of the last minute, by architecture."""
    return Query(f"sum by (arch) ({scope.of('trial_arch:orchestrator_scaling_events:increase1m')})", "{{arch}}")


def task_wait(scope: Scope, q: float) -> Query:
    """How long tasks waited, over those of the trial so far, by architecture; nothing before the first.

    The histogram begins with its trial. A rate would lose the first wave, which is there at its first sample.
    """
    waited = f"sum by (le, arch) ({scope.of('orchestrator_task_wait_seconds_bucket')})"
    return Query(f"histogram_quantile({q:g}, {waited}) >= 0", f"p{q * 100:g} {{{{arch}}}}")


def scaling_event_marks(event: str) -> str:
    """How many nodes entered the state `event` since the step before, where any did."""
    return growth(TRIAL, "orchestrator_scaling_events_total", "arch, node_type, event", f'event="{event}"') + " > 0"


def fault_marks() -> str:
    """How many faults began since the step before, where any did."""
    return growth(TRIAL, "orchestrator_faults_total", "arch, node_type, kind") + " > 0"


# Nodes


def node_life(scope: Scope) -> Query:
    """Each node's state as a number, and 0 after its last: a timeline would go on with the last one else."""
    by = "max by (node, node_type, arch)"
    before = f"max_over_time({scope.of('orchestrator_node_state', window='$__rate_interval')})"
    return Query(f"{by} ({scope.of('orchestrator_node_state')}) or 0 * {by} ({before})", "{{node}} {{arch}}")


def stage_quantile(scope: Scope, q: Literal["p50", "p95"]) -> Query:
    """Duration of the stage `$stage` over the launches of the trial so far, by architecture."""
    rule = scope.of(f"trial_arch_stage:orchestrator_node_stage_seconds:{q}", 'stage="$stage"')
    return Query(f"max by (arch) ({rule})", f"{q} {{{{arch}}}}")


def stages_of_trial(scope: Scope) -> Sequence[Query]:
    """Median, 95th percentile and number of all launches of the trial, by architecture and stage."""
    rules = (f"trial_arch_stage:orchestrator_node_stage_seconds:{q}" for q in ("p50", "p95"))
    quantiles = [f"max by (arch, stage) (last_over_time({scope.of(rule, window='$__range')}))" for rule in rules]
    # The trial's histogram begins at 0: what it counted last is the whole trial.
    counted = scope.of("orchestrator_node_stage_seconds_count", window="$__range")
    return [Query(expr, kind="table") for expr in (*quantiles, f"sum by (arch, stage) (last_over_time({counted}))")]


def stage_heat(scope: Scope) -> Query:
    """How many launches ended since the step before, by how long the stage `$stage` took."""
    heat = growth(scope, "orchestrator_node_stage_seconds_bucket", "le", 'stage="$stage"', 'arch=~"$arch"')
    return Query(heat, "{{le}}", "heatmap")


def failed_nodes(scope: Scope) -> Query:
    """Nodes that have failed so far, by architecture; 0 until the first."""
    return Query(f"sum by (arch) ({scope.of('trial_arch:orchestrator_failed_nodes:sum')})", "failed {{arch}}")


def failures_of_trial(scope: Scope) -> Query:
    """Nodes that failed in the whole trial, by node type, architecture and cause."""
    failed = scope.of("orchestrator_scaling_events_total", 'event="failed"', window="$__range")
    return Query(f"sum by (node_type, arch, cause) (last_over_time({failed}))", kind="table")


def machine_share_by_node(scope: Scope) -> Query:
    """Share of each worker machine's CPU time that is used, as Ray measures it."""
    used = scope.of("ray_node_cpu_utilization", 'RayNodeType="worker"')
    return Query(f"max by (node, arch) ({used}) / 100", "{{node}} {{arch}}")


# A sweep


def scorecards(scope: Scope, window: str = "$__range") -> Query:
    """Each number of each trial that has ended."""
    last = f"last_over_time({scope.of('orchestrator_scorecard', window=window)})"
    return Query(f"max by ({_TRIAL}, quantity) ({last})", "{{quantity}}", "instant")


def trial_times(scope: Scope, window: str = "$__range") -> Sequence[Query]:
    """When each of these trials was submitted and when its cluster was small again, in UNIX milliseconds.

    As the quantities `started` and `ended` of its scorecard, which has the duration.
    """

    def last(metric: str, *more: str) -> str:
        return f"last_over_time({scope.of(metric, *more, window=window)})"

    started = f"max by (sweep_id, trial_id) ({last('orchestrator_trial_start_timestamp_seconds')})"
    trials = f"group by ({_TRIAL}) ({last('orchestrator_scorecard')})"
    duration = last("orchestrator_scorecard", 'quantity=~"makespan_s|scale_down_s"')
    at = {
        "started": f"{trials} * on (sweep_id, trial_id) group_left () {started}",
        "ended": f"sum by ({_TRIAL}) ({duration}) + on (sweep_id, trial_id) group_left () {started}",
    }
    return [
        Query(f'label_replace(1000 * ({expr}), "quantity", "{name}", "", "")', "{{quantity}}", "instant")
        for name, expr in at.items()
    ]


def around(scope: Scope) -> Scope:
    """The same moved by half a day more, for a window of a day: a scorecard appears when its trial has ended.

    The last trial's is there for a few seconds only, until its sweep ends: a subquery would step over it. So one offset
    moves both, the trial by seconds and the window by hours.
    """
    return Scope(scope.matchers, f"-12h{scope.offset.removeprefix('-')}")


def trials_ended(scope: Scope, *more: str) -> Query:
    """How many trials of the sweep have a scorecard."""
    last = f"last_over_time({scope.of('orchestrator_scorecard', *more, window='$__range')})"
    return Query(f"count(count by (trial_id) ({last}))", "trials", "instant")


def best(scope: Scope, quantity: str) -> Query:
    """The lowest value of a quantity among the valid trials, with its setting."""
    matchers = (f'quantity="{quantity}"', 'valid="true"')
    last = f"last_over_time({scope.of('orchestrator_scorecard', *matchers, window='$__range')})"
    return Query(f"bottomk(1, max by (setting, trial_id) ({last}))", "{{setting}}", "instant")
