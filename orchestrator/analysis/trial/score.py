"""Computes a trial's scorecard from its trace."""

import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence

from orchestrator.analysis.trial.cost import bills, cost_usd
from orchestrator.analysis.trial.elasticity import elasticity
from orchestrator.analysis.trial.node_lives import Interval, NodeLife, by_part, seconds_within, stacked
from orchestrator.analysis.trial.validity import judge
from orchestrator.analysis.trial.window import measured
from orchestrator.model.events import Event, FaultEvent, HostEvent, NoteEvent, TaskEvent
from orchestrator.model.prices import Prices
from orchestrator.model.scorecard import ByPart, Elasticity, Quantiles, Scorecard
from orchestrator.model.trial import Trial


def score(trial: Trial, events: Sequence[Event], prices: Prices | None = None) -> Scorecard:
    """Return the scorecard of a trial from its events, in the order of `t`; without prices it has no cost.

    A trace without a task is scored as invalid.
    """
    tasks = [event for event in events if isinstance(event, TaskEvent)]
    speed = trial.settings.effective_upscaling_speed
    window = measured(trial, events)
    if window is None:
        reasons, warnings = judge(trial, events, [], None)
        return Scorecard(effective_upscaling_speed=speed, invalid_because=reasons, warnings=warnings)
    start, end, last, lives, launched = window.start, window.end, window.last, window.lives, window.launched
    nodes = stacked((life.alive(last), 1.0) for life in lives)
    supply = stacked((life.alive(last), life.cpus) for life in window.suppliers)
    demand = stacked(([(task.submitted, task.ended)], task.count * task.cpus) for task in tasks)
    servable = trial.shape.max_cpus_for(trial.workload.needs)
    joined = [t for life in launched if (t := life.first("running")) is not None]
    used_nodes = {task.node for task in tasks}
    supplied = supply.integral(start, end)
    used = sum(task.count * task.cpus * (task.ended - task.started) for task in tasks)
    host = [event.cpu_percent for event in events if isinstance(event, HostEvent) and start <= event.t <= end]
    cost = None if prices is None else cost_usd(bills(lives, prices, start, window.accounted, last))
    arch_of = {life.ray_node_id: life.arch for life in window.suppliers}
    reasons, warnings = judge(trial, events, lives, (start, end))
    card = Scorecard(
        makespan_s=end - start,
        time_to_first_node_s=min(joined) - start if joined else None,
        time_to_peak_s=supply.maximum(start, end)[1] - start,
        scale_down_s=None if window.settled is None else window.settled - end,
        launches=len(launched),
        terminations=sum(1 for life in lives if (t := life.first("terminated")) is not None and t >= start),
        failed_launches=sum(1 for life in launched if life.never_ran),
        node_failures=sum(1 for life in lives if life.crashed),
        faults=sum(1 for event in events if isinstance(event, FaultEvent) and event.stage == "begin"),
        excess_nodes=sum(1 for life in launched if life.first("running") and life.ray_node_id not in used_nodes),
        peak_nodes=int(nodes.maximum(start, last)[0]),
        node_seconds=by_part((life, seconds_within(life.billed(last), start, window.accounted)) for life in lives),
        idle_node_seconds=_idle_seconds(lives, tasks, start, window.accounted, last),
        cost_usd=cost,
        tasks_per_usd={} if cost is None else _tasks_per_usd(tasks, arch_of, cost),
        **dict(elasticity(demand, supply, start, end, servable)),
        uncapped=elasticity(demand, supply, start, end),
        cpu_utilisation=used / supplied if supplied > 0 else None,
        task_wait_s=_waits(tasks, arch_of),
        launch_s=_launch_seconds(launched),
        tasks=sum(task.count for task in tasks),
        effective_upscaling_speed=speed,
        host_cpu_percent=statistics.fmean(host) if host else None,
        valid=not reasons,
        invalid_because=reasons,
        warnings=warnings,
    )
    return card if _records_suffice(events) else card.replace(**_NEED_EVERY_TASK)


def _records_suffice(events: Sequence[Event]) -> bool:
    return not any(isinstance(event, NoteEvent) and event.kind == "records_incomplete" for event in events)


# Fields that would be wrong without the record of each task, at their empty values.
_NEED_EVERY_TASK = {
    name: Scorecard.model_fields[name].get_default(call_default_factory=True)
    for name in (*Elasticity.model_fields, "uncapped", "cpu_utilisation", "task_wait_s", "tasks_per_usd")
}


def quantiles(values: Sequence[float]) -> Quantiles:
    """Median, 95th percentile (linear between ranks) and maximum of at least one value."""
    ordered = sorted(values)

    def at(share: float) -> float:
        position = share * (len(ordered) - 1)
        low = int(position)
        high = min(low + 1, len(ordered) - 1)
        return ordered[low] + (ordered[high] - ordered[low]) * (position - low)

    return Quantiles(p50=at(0.5), p95=at(0.95), max=ordered[-1], n=len(ordered))


def _idle_seconds(
    lives: Sequence[NodeLife], tasks: Sequence[TaskEvent], start: float, end: float, last: float
) -> ByPart:
    """Node-seconds in which a node could run tasks and ran none, from the tasks' own times."""
    busy: dict[str, list[Interval]] = defaultdict(list)
    for task in tasks:
        busy[task.node].append((task.started, task.ended))
    return by_part(
        (life, seconds_within(life.alive(last), start, end) - seconds_within(busy[life.ray_node_id], start, end))
        for life in lives
    )


def _tasks_per_usd(tasks: Sequence[TaskEvent], arch_of: Mapping[str, str], cost: ByPart) -> dict[str, float]:
    """Tasks that ran for each dollar, of all nodes and by arch."""
    ran: dict[str, int] = defaultdict(int)
    for task in tasks:
        if task.ok:
            ran["all"] += task.count
            ran[arch_of.get(task.node, task.arch)] += task.count
    usd = {"all": cost.total, **cost.by_arch}
    return {name: ran[name] / amount for name, amount in usd.items() if amount > 0}


def _waits(tasks: Sequence[TaskEvent], arch_of: Mapping[str, str]) -> dict[str, Quantiles]:
    groups: dict[str, list[float]] = defaultdict(list)
    for task in tasks:
        waits = [task.started - task.submitted] * task.count
        groups["all"] += waits
        groups[arch_of.get(task.node, task.arch)] += waits
    return {name: quantiles(group) for name, group in groups.items()}


def _launch_seconds(launched: Sequence[NodeLife]) -> dict[str, dict[str, Quantiles]]:
    stages: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for life in launched:
        for stage, seconds in life.stage_seconds().items():
            stages["all"][stage].append(seconds)
            stages[life.arch][stage].append(seconds)
    return {arch: {stage: quantiles(values) for stage, values in named.items()} for arch, named in stages.items()}
