"""Queries of the boards. `docs/metrics.md` lists the metrics, `prometheus/rules/` the rules (names with a colon)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from orchestrator.analysis.trial.node_lives import PARTS_OF_STAGES
from orchestrator.model.events import CURRENT_STATES, PHASES, NodeState
from orchestrator.model.settings import info_settings

Kind = Literal["range", "instant", "table", "heatmap"]

STAGES = ("launch", "request", "boot", "install", *(name for name, _, _ in PARTS_OF_STAGES))
"""The stages in `orchestrator_node_stage_seconds`. `launch` covers all of them; those after `install` are parts of boot
and install, which only launches in a cloud have."""

ANNOTATED_EVENTS: Sequence[NodeState] = ("requested", "running", "terminated", "failed")
"""Scaling events that a graph can mark. Nodes alternate between `running` and `idle` too often for marks."""

MARGIN_S = 30
"""Seconds that a link shows before a trial's submission and after its end, to include last states and scorecard."""

NO_POINT = "no valid trial has a value yet"

_ALWAYS = "90y"
# The only name of a node of a local cluster is Ray's id of 56 hexadecimal digits.
SHORT_NAME = '"node", "$1", "node", "([0-9a-f]{8})[0-9a-f]{32,}"'

_SETTINGS = ", ".join(("setting", "backend", *info_settings(), "workload", "repeat"))
_TRIAL = "sweep_id, trial_id, setting, repeat, valid"


@dataclass(frozen=True)
class Query:
    """One query of a panel, with the legend of its series."""

    expr: str
    legend: str = ""
    kind: Kind = "range"


@dataclass(frozen=True)
class Scope:
    """The series that a query takes (`matchers`), and their shift in time (`offset`)."""

    matchers: str = ""
    offset: str = ""

    def of(self, metric: str, *more: str, window: str = "") -> str:
        """Return a selector of `metric` in this scope with `more` matchers, over `window` if given."""
        matchers = ", ".join(each for each in (self.matchers, *more) if each)
        selector = metric + (f"{{{matchers}}}" if matchers else "") + (f"[{window}]" if window else "")
        return f"{selector} offset {self.offset}" if self.offset else selector


TRIAL = Scope('sweep_id="$sweep_id", trial_id="$trial_id"')
SWEEP = Scope('sweep_id="$sweep_id"')
# From 20 years before the end of the range to 70 years after it, to find any trial or sweep.
TRIAL_EVER = Scope(TRIAL.matchers, "-70y")
SWEEP_EVER = Scope(SWEEP.matchers, "-70y")


def latest(scope: Scope, metric: str, *more: str, window: str = "$__range") -> str:
    """Return the last sample of each series in the time range; for an ended trial, its final values.

    Unlike the last step of a range query, it doesn't depend on the length of the range.
    """
    return f"last_over_time({scope.of(metric, *more, window=window)})"


def ever(scope: Scope, metric: str, *more: str) -> str:
    """Return the last sample of each series at any time. The scope must be one of `…_EVER`."""
    return latest(scope, metric, *more, window=_ALWAYS)


def growth(scope: Scope, metric: str, by: str, *more: str) -> str:
    """Return the exact growth of a counter since the previous step, including its first event.

    `increase()` misses the first value of a series, and these series begin with their first event. It also extrapolates
    one event into fractions.
    """
    now = f"sum by ({by}) ({scope.of(metric, *more)})"
    # The last sample of ten minutes, not only of the previous step, because a scrape can fail.
    earlier = Scope(scope.matchers, "$__interval").of(metric, *more, window="10m")
    before = f"sum by ({by}) (last_over_time({earlier}))"
    return f"clamp_min({now} - ({before} or 0 * {now}), 0)"


def quantile(q: float, scope: Scope, histogram: str, by: str = "", *more: str) -> str:
    """Return a quantile of the newest observations of a histogram."""
    rate = f"rate({scope.of(f'{histogram}_bucket', *more, window='$__rate_interval')})"
    return f"histogram_quantile({q:g}, sum by ({', '.join(each for each in ('le', by) if each)}) ({rate}))"


# A trial


def pending_tasks(scope: Scope, called: str = "pending tasks") -> Query:
    """Return the query of pending tasks."""
    return Query(f"sum({scope.of('trial:orchestrator_pending_tasks:sum')})", called)


def pending_cpus(scope: Scope, called: str = "pending") -> Query:
    """Return the query of CPUs that pending tasks need."""
    return Query(f"sum({scope.of('trial:orchestrator_pending_cpu_cores:sum')})", called)


def nodes(scope: Scope, called: str = "nodes") -> Query:
    """Return the query of worker nodes, by architecture."""
    return Query(f"sum by (arch) ({scope.of('trial_arch:orchestrator_nodes:sum')})", f"{called} {{{{arch}}}}")


def nodes_of(scope: Scope, called: str, *more: str) -> Query:
    """Return the query of the number of live worker nodes that match."""
    return Query(f"sum({scope.of('trial_arch:orchestrator_nodes:sum', *more)})", called)


def cpu_share_of(scope: Scope, called: str, *more: str) -> Query:
    """Return the query of one architecture's share of logical CPUs held by tasks, at most 1."""
    return Query(f"clamp_max(max({scope.of('trial_arch:orchestrator_cpu_used:ratio', *more)}), 1)", called)


def most_nodes(scope: Scope) -> Query:
    """Return the query of the node limit: the sum over all node types, or the cluster's own limit if that is lower."""
    limits = f"sum({scope.of('orchestrator_max_workers')})", f"sum({scope.of('orchestrator_cluster_max_workers')})"
    return Query(f"{limits[1]} < {limits[0]} or {limits[0]}", "max_workers")


def node_states(scope: Scope) -> Sequence[Query]:
    """Return one query per state that isn't final: the nodes of `$arch` in it. Separate queries keep their order."""
    rule = "trial_arch_state:orchestrator_nodes:sum"
    selectors = [scope.of(rule, 'arch=~"$arch"', f'state="{state}"') for state in CURRENT_STATES]
    return [Query(f"sum by (state) ({each})", "{{state}}") for each in selectors]


def cpus_used(scope: Scope, called: str = "CPUs used") -> Query:
    """Return the query of logical CPUs held by tasks, by architecture."""
    return Query(f"sum by (arch) ({scope.of('trial_arch:orchestrator_cpu_used_cores:sum')})", f"{called} {{{{arch}}}}")


def cpus_present_of_all(scope: Scope) -> Query:
    """Return the query of logical CPUs of running and idle nodes."""
    return Query(f"sum({scope.of('trial_arch:orchestrator_cpu_capacity_cores:sum')})", "CPUs present")


def cpu_share(scope: Scope, called: str = "held by tasks", *more: str) -> Query:
    """Return the share of logical CPUs held by tasks, by architecture, at most 1: draining nodes are no supply."""
    share = scope.of("trial_arch:orchestrator_cpu_used:ratio", *more)
    return Query(f"clamp_max(max by (arch) ({share}), 1)", f"{called} {{{{arch}}}}")


def machine_share(scope: Scope, *more: str) -> Query:
    """Return the query of the share of machine CPU time in use, as Ray measures it, by architecture."""
    share = scope.of("trial_arch:ray_node_cpu_utilization:avg", *more)
    return Query(f"max by (arch) ({share})", "machine {{arch}}")


def demand(scope: Scope, called: str = "demand") -> Query:
    """Return the query of CPUs requested by running and pending tasks."""
    return Query(f"sum({scope.of('trial:orchestrator_demand_cores:sum')})", called)


def supply(scope: Scope, called: str = "supply") -> Query:
    """Return the query of CPUs of running and idle nodes."""
    return Query(f"sum({scope.of('trial:orchestrator_supply_cores:sum')})", called)


def launches_by_rules(scope: Scope) -> Query:
    """Return the nodes requested since the previous step, by type and the rules that set how many."""
    return Query(growth(scope, "orchestrator_launched_nodes_total", "node_type, rules"), "{{node_type}}: {{rules}}")


def no_launch(scope: Scope) -> Query:
    """Return 1 while a reason keeps another node of a type from coming, and 0 afterwards."""
    return Query(f"max by (node_type, reason) ({scope.of('orchestrator_no_launch')})", "{{reason}} {{node_type}}")


def cost(scope: Scope, called: str = "cost") -> Query:
    """Return the query of the cost so far in dollars."""
    return Query(f"sum({scope.of('trial:orchestrator_cost_dollars:sum')})", called)


def cost_by_arch(scope: Scope) -> Query:
    """Return the query of the cost so far in dollars, by architecture."""
    return Query(f"sum by (arch) ({scope.of('trial_arch:orchestrator_cost_dollars:sum')})", "{{arch}}")


def phases(scope: Scope) -> Query:
    """Return the query of the trial's phase as a number: see `style.PHASE_NUMBERS`."""
    return Query(f"max({_phase_number(scope)}) > 0", "phase")


def phases_by_setting(scope: Scope) -> Query:
    """Return the phase of the trial that runs for each setting, as a number, and 0 while none does."""
    called = f"max by (trial_id, setting) ({scope.of('orchestrator_trial_info')})"
    running = f"max by (trial_id) ({_phase_number(scope)}) * on (trial_id) group_left (setting) {called}"
    info = scope.of("orchestrator_trial_info", window="$__range")
    none = f"0 * group by (setting) (last_over_time({info} @ end()))"
    return Query(f"max by (setting) ({running}) or {none}", "{{setting}}")


def _phase_number(scope: Scope) -> str:
    matchers = [f'phase="{phase}"' for phase in PHASES]
    numbered = (
        f"{number} * {scope.of('orchestrator_trial_phase', matcher)}"
        for number, matcher in enumerate(matchers, start=1)
    )
    return " or ".join(numbered)


def last_phase(scope: Scope) -> Query:
    """Return the query of the trial's present or final phase, with a space for the underscore in its name."""
    last = f"max by (phase) ({latest(scope, 'orchestrator_trial_phase')}) == 1"
    return Query(f'label_replace({last}, "phase", "$1 $2", "phase", "(.+)_(.+)")', "{{phase}}", "instant")


def settings(scope: Scope) -> Query:
    """Return the query of the trial's settings, as labels."""
    return Query(f"max by ({_SETTINGS}) ({ever(scope, 'orchestrator_trial_info')})", kind="table")


def setting(scope: Scope) -> Query:
    """Return the query of the trial's setting and repeat, as the name of the series."""
    return Query(
        f"max by (setting, repeat) ({ever(scope, 'orchestrator_trial_info')})", "{{setting}} #{{repeat}}", "instant"
    )


def elapsed(scope: Scope) -> Query:
    """Return the query of seconds since the submission, until the end of the trial."""
    return Query(f"max({latest(scope, 'orchestrator_trial_elapsed_seconds')})", "elapsed", "instant")


def now(scope: Scope, rule: str, called: str) -> Query:
    """Return the sum of the newest results of a rule over the trial."""
    return Query(f"sum({latest(scope, rule)})", called, "instant")


def result(scope: Scope, quantity: str) -> Query:
    """Return one number of the trial's scorecard, however old the trial is."""
    matcher = f'quantity="{quantity}"'
    return Query(f"max({ever(scope, 'orchestrator_scorecard', matcher)})", quantity, "instant")


def verdicts(scope: Scope) -> Sequence[Query]:
    """Return three queries, of which one has a series: valid, invalid with the reason, or not ended yet."""
    verdict = f"max by (reason) ({ever(scope, 'orchestrator_trial_verdict')})"
    begun = f"max({ever(scope, 'orchestrator_trial_info')})"
    return [
        Query(f"{verdict} == 1", "valid", "instant"),
        # A failed trial can have been run again.
        Query(f"{verdict} == 0 unless on () {verdict} == 1", "invalid: {{reason}}", "instant"),
        Query(f"{begun} unless on () {verdict}", "not ended yet", "instant"),
    ]


def scaling_events(scope: Scope) -> Query:
    """Return the query of scaling events in the last minute, by architecture."""
    return Query(f"sum by (arch) ({scope.of('trial_arch:orchestrator_scaling_events:increase1m')})", "{{arch}}")


def task_wait(scope: Scope, q: float, *more: str) -> Query:
    """Return the query of task wait times in the trial so far, by architecture; empty before the first task.

    The histogram begins with its trial. A rate would lose the first wave, which is already in the first sample.
    """
    waited = f"sum by (le, arch) ({scope.of('orchestrator_task_wait_seconds_bucket', *more)})"
    return Query(f"histogram_quantile({q:g}, {waited}) >= 0", f"p{q * 100:g} {{{{arch}}}}")


def scaling_event_marks(event: str) -> str:
    """Return the number of nodes that entered the state `event` since the previous step, where any did."""
    chosen = (f'event="{event}"', 'event=~"$marks"')
    return growth(TRIAL, "orchestrator_scaling_events_total", "arch, node_type, event", *chosen) + " > 0"


def fault_marks(*more: str) -> str:
    """Return the number of faults that began since the previous step, where any did."""
    return growth(TRIAL, "orchestrator_faults_total", "arch, node_type, kind", *more) + " > 0"


# Nodes


def node_life(scope: Scope, *more: str) -> Query:
    """Return each node's state as a number, and 0 after its end. Otherwise a timeline would continue the last state."""
    by = "max by (node, node_type, arch)"
    before = f"max_over_time({scope.of('orchestrator_node_state', *more, window='$__rate_interval')})"
    lives = f"{by} ({scope.of('orchestrator_node_state', *more)}) or 0 * {by} ({before})"
    return Query(f"label_replace({lives}, {SHORT_NAME})", "{{node}} {{arch}}")


def stage_quantile(scope: Scope, q: Literal["p50", "p95"]) -> Query:
    """Return the query of the duration of the stage `$stage` over the trial's launches so far, by architecture."""
    rule = scope.of(f"trial_arch_stage:orchestrator_node_stage_seconds:{q}", 'stage="$stage"')
    return Query(f"max by (arch) ({rule})", f"{q} {{{{arch}}}}")


def quantile_of_launches(scope: Scope, q: Literal["p50", "p95"]) -> Query:
    """Return the query of the duration of whole launches so far, by architecture."""
    rule = scope.of(f"trial_arch_stage:orchestrator_node_stage_seconds:{q}", 'stage="launch"')
    return Query(f"max by (arch) ({rule})", f"{q} {{{{arch}}}}")


def stages_of_trial(scope: Scope) -> Sequence[Query]:
    """Return median, 95th percentile and number of the trial's launches, by architecture and stage."""
    rules = (f"trial_arch_stage:orchestrator_node_stage_seconds:{q}" for q in ("p50", "p95"))
    quantiles = [f"max by (arch, stage) ({latest(scope, rule)})" for rule in rules]
    # The trial's histogram begins at 0, so its last value covers the whole trial.
    counted = f"sum by (arch, stage) ({latest(scope, 'orchestrator_node_stage_seconds_count')}) > 0"
    return [Query(_in_order(expr), kind="table") for expr in (*quantiles, counted)]


def _in_order(expr: str) -> str:
    """Return the query with numbers in the label `stage`, because tables sort by it and stages have an order."""
    for number, stage in enumerate(("request", "boot", "install", "launch", *STAGES[4:]), start=1):
        expr = f'label_replace({expr}, "stage", "{number} {stage}", "stage", "{stage}")'
    return expr


def stage_heat(scope: Scope) -> Query:
    """Return the number of launches that ended since the previous step, by duration of the stage `$stage`."""
    heat = growth(scope, "orchestrator_node_stage_seconds_bucket", "le", 'stage="$stage"', 'arch=~"$arch"')
    return Query(heat, "{{le}}", "heatmap")


def failed_nodes(scope: Scope) -> Query:
    """Return the query of nodes that have failed so far, by architecture; 0 until the first."""
    return Query(f"sum by (arch) ({scope.of('trial_arch:orchestrator_failed_nodes:sum')})", "failed {{arch}}")


def failures_of_trial(scope: Scope) -> Query:
    """Return the query of failed nodes in the whole trial, by node type, architecture and cause."""
    failed = latest(scope, "orchestrator_scaling_events_total", 'event="failed"')
    return Query(f"sum by (node_type, arch, cause) ({failed})", kind="table")


def machine_share_by_node(scope: Scope, *more: str) -> Query:
    """Return the query of the share of each worker machine's CPU time in use, as Ray measures it."""
    used = scope.of("ray_node_cpu_utilization", 'RayNodeType="worker"', *more)
    return Query(f"label_replace(max by (node, arch) ({used}) / 100, {SHORT_NAME})", "{{node}} {{arch}}")


# A sweep


def scorecards(scope: Scope, window: str = _ALWAYS) -> Query:
    """Return all numbers of all ended trials."""
    last = latest(scope, "orchestrator_scorecard", window=window)
    return Query(f"max by ({_TRIAL}, quantity) ({last})", "{{quantity}}", "instant")


def points(scope: Scope, *quantities: str) -> Query:
    """Return two quantities of each valid trial.

    A scatter plot shows “Err” if a field is missing, and no text if it is empty. So each quantity without a value has
    a series whose setting is that text.
    """
    names = "|".join(quantities)
    matchers = (f'quantity=~"{names}"', 'valid="true"')
    found = f"max by (sweep_id, trial_id, setting, quantity) ({ever(scope, 'orchestrator_scorecard', *matchers)})"
    none = f'label_replace(vector(NaN), "setting", "{NO_POINT}", "", "")'
    empty = " or ".join(f'label_replace({none}, "quantity", "{each}", "", "")' for each in quantities)
    return Query(f"{found} or on (quantity) ({empty})", "{{quantity}}", "instant")


def trial_times(scope: Scope, window: str = _ALWAYS) -> Sequence[Query]:
    """Return the time range to show for each trial, in UNIX milliseconds, with a margin on both sides.

    The times are quantities `started` and `ended` next to those of the scorecard, which has the duration.
    """

    def last(metric: str, *more: str) -> str:
        return latest(scope, metric, *more, window=window)

    started = f"max by (sweep_id, trial_id) ({last('orchestrator_trial_start_timestamp_seconds')})"
    trials = f"group by ({_TRIAL}) ({last('orchestrator_scorecard')})"
    duration = last("orchestrator_scorecard", 'quantity=~"makespan_s|scale_down_s"')
    at = {
        "started": f"{trials} * on (sweep_id, trial_id) group_left () {started} - {MARGIN_S}",
        "ended": f"sum by ({_TRIAL}) ({duration}) + on (sweep_id, trial_id) group_left () {started} + {MARGIN_S}",
    }
    return [
        Query(f'label_replace(1000 * ({expr}), "quantity", "{name}", "", "")', "{{quantity}}", "instant")
        for name, expr in at.items()
    ]


def around(scope: Scope) -> Scope:
    """Return the scope shifted by half a day, for a window of a day: a scorecard appears when its trial has ended.

    The last trial's scorecard is visible only for a few seconds, until its sweep ends, so a subquery would step over
    it. One offset therefore shifts both the trial, by seconds, and the window, by hours.
    """
    return Scope(scope.matchers, f"-12h{scope.offset.removeprefix('-')}")


def trials_ended(scope: Scope, *more: str) -> Query:
    """Return the number of trials of the sweep that have a scorecard."""
    return Query(f"count(count by (trial_id) ({ever(scope, 'orchestrator_scorecard', *more)}))", "trials", "instant")


def trials_invalid(scope: Scope) -> Query:
    """Return the number of ended, invalid trials of the sweep; 0 as soon as one trial has ended."""
    invalid = trials_ended(scope, 'valid="false"').expr
    return Query(f"{invalid} or on () 0 * {trials_ended(scope).expr}", "trials", "instant")


def of_settings(scope: Scope, function: str, quantity: str) -> str:
    """Return `min`, `max`, `count` or `median` of a quantity over the valid trials of each setting."""
    matchers = (f'quantity="{quantity}"', 'valid="true"')
    values = f"max by (setting, trial_id) ({ever(scope, 'orchestrator_scorecard', *matchers)})"
    return f"quantile by (setting) (0.5, {values})" if function == "median" else f"{function} by (setting) ({values})"


def ended_by_setting(scope: Scope) -> str:
    """Return the number of ended trials of each setting, invalid ones included."""
    return f"count by (setting) (group by (setting, trial_id) ({ever(scope, 'orchestrator_scorecard')}))"


def setting_verdicts(scope: Scope) -> str:
    """Return the verdict on each setting as a number: its place in `model.verdicts.VERDICTS`, from 1."""
    return f"max by (setting) ({ever(scope, 'orchestrator_setting_verdict')})"


def best(scope: Scope, quantity: str) -> Query:
    """Return the lowest median of a quantity over the valid trials of a setting, with the setting."""
    return Query(f"bottomk(1, {of_settings(scope, 'median', quantity)})", "{{setting}}", "instant")


# Alerts


def alerts(scope: Scope) -> Query:
    """Return the query of our firing and pending alerts, one series each."""
    found = scope.of("ALERTS", 'alertname=~"Orchestrator.+"')
    return Query(f"max by (alertname, alertstate, severity, sweep_id, trial_id) ({found})", kind="table")


def alerts_over_time(scope: Scope) -> Query:
    """Return the query of alerts over time: 1 while an alert is pending, 2 while it is firing."""
    by = "max by (alertname, trial_id)"
    firing, pending = (
        scope.of("ALERTS", 'alertname=~"Orchestrator.+"', f'alertstate="{state}"') for state in ("firing", "pending")
    )
    named = f'label_replace(2 * {by} ({firing}) or {by} ({pending}), "alert", "$1", "alertname", "Orchestrator(.+)")'
    return Query(named, "{{alert}} {{trial_id}}")
