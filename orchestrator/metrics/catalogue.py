"""What our metrics are called, and their help, units and buckets; and the histogram that prometheus-client lacks."""

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from itertools import accumulate

import prometheus_client
from prometheus_client import Counter, Histogram
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.utils import floatToGoString

from orchestrator.model.events import NodeState
from orchestrator.model.verdicts import VERDICTS

PREFIX = "orchestrator_"
IDS = ("sweep_id", "trial_id")
STATES: tuple[NodeState, ...] = (
    "requested", "allocated", "installing", "running", "idle", "draining", "terminated", "failed",
)  # fmt: skip
STAGE_BUCKETS = (1, 2, 5, 10, 20, 30, 45, 60, 90, 120, 180, 300, 600, 1200)
WAIT_BUCKETS = (0.1, 0.5, 1, 2, 5, 10, 30, 60, 120, 300, 600, 1200, 3600)
UNITS = ("seconds", "cores", "dollars")

HELP = {
    "sweep_info": "1; the labels are the sweep's name and the day and time at which it was begun, in UTC.",
    "trial_info": "1; the labels are the trial's settings.",
    "trial_active": "1 while the trial runs, 0 once it has ended and its last values are still shown.",
    "trial_phase": "1 for the phase that the trial is in.",
    "trial_elapsed_seconds": "Seconds since the workload was submitted; of a trial that has ended, its last value.",
    "trial_start_timestamp_seconds": "When the workload was submitted, in UNIX seconds.",
    "pending_tasks": "Tasks that wait for a node, by what each needs.",
    "infeasible_tasks": "Pending tasks that no node type of the cluster could run, by what each needs.",
    "pending_cpu_cores": "CPUs that the pending tasks need together.",
    "nodes": "Worker nodes in each state.",
    "node_state": "A node's state: " + ", ".join(f"{number} {state}" for number, state in enumerate(STATES, 1)) + ".",
    "min_workers": "Nodes that are never removed.",
    "max_workers": "Most nodes that may run.",
    "cluster_max_workers": "Most nodes that may run, of all types together.",
    "cpu_capacity_cores": "Logical CPUs of the worker nodes that are running or idle.",
    "cpu_used_cores": "Logical CPUs that tasks hold.",
    "scaling_events": "Transitions of worker nodes into a state.",
    "faults": "Faults that were caused on purpose.",
    "node_stage_seconds": "How long the stages of a launch took.",
    "task_wait_seconds": "From a task's submission to its start.",
    "cost_dollars": "What the worker nodes cost so far.",
    "hourly_cost_dollars": "What the worker nodes that are billed now cost in an hour.",
    "scorecard": "Numbers of the trials of this sweep that have just ended.",
    "trial_verdict": "1 for a trial that has just ended and is valid, 0 for an invalid one; the label says why.",
    "setting_verdict": "A setting of this sweep against the one with the lowest median makespan: "
    + ", ".join(f"{number} {verdict}" for number, verdict in enumerate(VERDICTS, 1))
    + ".",
    "observer_lag_seconds": "How old the newest look at the cluster is.",
    "observer_errors": "Looks at the cluster that failed.",
}

# Series such as `…_created` would double the counters and say nothing that the trial doesn't.
prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]


def unit_of(name: str) -> str:
    """The unit that a metric's name ends with, as OpenMetrics wants it told; empty for a name without one."""
    last = name.rpartition("_")[2]
    return last if last in UNITS else ""


def gauge(
    name: str, values: Mapping[tuple[str, ...], float], common: Mapping[str, str], *labels: str
) -> GaugeMetricFamily:
    """A gauge of ours: values by the values of `labels`, each with the `common` labels before them."""
    family = GaugeMetricFamily(PREFIX + name, HELP[name], labels=[*common, *labels], unit=unit_of(name))
    for key, value in values.items():
        family.add_metric([*common.values(), *key], value)
    return family


def counter(name: str, *labels: str) -> Counter:
    """A counter of a trial; `labels` come after the ids."""
    return Counter(PREFIX + name, HELP[name], [*IDS, *labels], registry=None, unit=unit_of(name))


def histogram(name: str, buckets: Sequence[float], *labels: str) -> Histogram:
    """A histogram of a trial; `labels` come after the ids."""
    return Histogram(PREFIX + name, HELP[name], [*IDS, *labels], buckets=buckets, registry=None, unit=unit_of(name))


class Waits:
    """A histogram of seconds that takes in a million equal waits at once, which prometheus-client's own can't."""

    def __init__(self) -> None:
        self.total_s = 0.0
        self._counts = [0] * (len(WAIT_BUCKETS) + 1)

    def observe(self, wait_s: float, count: int) -> None:
        """Count a wait so many times; one below 0 is none."""
        wait_s = max(0.0, wait_s)
        self._counts[bisect_left(WAIT_BUCKETS, wait_s)] += count
        self.total_s += wait_s * count

    def buckets(self) -> list[tuple[str, float]]:
        """How many waits were at most as long as each bound."""
        bounds = map(floatToGoString, (*WAIT_BUCKETS, float("inf")))
        return list(zip(bounds, accumulate(self._counts), strict=True))
