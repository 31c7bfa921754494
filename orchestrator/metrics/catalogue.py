"""The catalogue of metrics: name, type, labels, unit, buckets and help of each.

The collectors use `METRICS`, and `make docs-tables` generates the table in `docs/metrics.md` from it. A gauge that
follows from the state of a trial is one entry with a `value`. `TrialMetrics` fills counters and histograms.
"""

import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, Protocol, get_args

import prometheus_client
from prometheus_client import Counter
from prometheus_client import Histogram as PrometheusHistogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.utils import floatToGoString

from orchestrator.model.cluster import ClusterShape
from orchestrator.model.doc_table import rewrite, with_table
from orchestrator.model.events import PHASES, STATE_NUMBERS, Phase
from orchestrator.model.fault import FaultKind
from orchestrator.model.histogram import Histogram
from orchestrator.model.settings import info_settings
from orchestrator.model.verdicts import VERDICTS
from orchestrator.observer.observer import POLL_BUCKETS

PREFIX = "orchestrator_"
IDS = ("sweep_id", "trial_id")

Values = Mapping[tuple[str, ...], float]

# Series such as `…_created` would double the counters and add no information.
prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]


class TrialState(Protocol):
    """The state of a trial from which gauges are computed."""

    now: float
    active: bool
    phase: Phase | None
    submitted: float | None
    pending: Mapping[str, int]
    pending_cpus: float

    @property
    def shape(self) -> ClusterShape | None:
        """Return the cluster's shape, if it is known."""
        ...


@dataclass(frozen=True)
class Metric:
    """One metric. `labels` follow the ids of the sweep and the trial, if the metric has them.

    `value` computes a gauge from the state of a trial: values by label values, or None while the metric is absent.
    `note` adds details to the help in the documentation.
    """

    name: str
    type: Literal["gauge", "counter", "histogram"]
    labels: tuple[str, ...]
    help: str
    unit: Literal["", "seconds", "cores", "dollars"] = ""
    buckets: tuple[float, ...] = ()
    note: str = ""
    value: Callable[[TrialState], Values | None] | None = None

    @property
    def full_name(self) -> str:
        """Return the name with our prefix, and without the `_total` of a counter."""
        return PREFIX + self.name

    @property
    def documented_name(self) -> str:
        """Return the name of the series without our prefix."""
        return self.name + ("_total" if self.type == "counter" else "")


def _limit(name: str) -> Callable[[TrialState], Values | None]:
    def limits(state: TrialState) -> Values | None:
        if state.shape is None:
            return None
        return {(each.name, each.arch): float(getattr(each, name)) for each in state.shape.launchable}

    return limits


_OF_A_TYPE = ("node_type", "arch")

METRICS: tuple[Metric, ...] = (
    Metric(
        "sweep_info", "gauge", ("name", "date"), "1; the labels are the sweep's name and its start, in UTC.",
    ),
    Metric(
        "trial_info", "gauge", ("backend", *info_settings(), "workload", "repeat", "setting"),
        "1; the labels are the trial's settings.",
    ),
    Metric(
        "trial_active", "gauge", (),
        "1 while the trial runs; 0 after its end, while its last values are still exposed.",
        value=lambda state: {(): float(state.active)},
    ),
    Metric(
        "trial_phase", "gauge", ("phase",), "1 for the current phase of the trial, 0 for the others.",
        value=lambda state: {(phase,): float(phase == state.phase) for phase in PHASES},
    ),
    Metric(
        "trial_elapsed_seconds", "gauge", (), "Seconds since the workload's submission.", "seconds",
        note="Keeps its last value after the end of the trial. Absent before the submission.",
        value=lambda state: None if state.submitted is None else {(): max(0.0, state.now - state.submitted)},
    ),
    Metric(
        "trial_start_timestamp_seconds", "gauge", (), "Time of the workload's submission, in UNIX seconds.", "seconds",
        note="Absent before it.",
        value=lambda state: None if state.submitted is None else {(): state.submitted},
    ),
    Metric(
        "pending_tasks", "gauge", ("shape",), "Tasks waiting for a node, by the resources that each needs.",
        note="For example `CPU=1`. 0 for the last 50 shapes that no longer wait.",
        value=lambda state: {(shape,): float(count) for shape, count in state.pending.items()},
    ),
    Metric(
        "infeasible_tasks", "gauge", ("shape",), "Pending tasks that no node type of the cluster can run.",
        note="Only if the cluster's shape is known.",
    ),
    Metric(
        "pending_cpu_cores", "gauge", (), "CPUs that all pending tasks need together.", "cores",
        value=lambda state: {(): state.pending_cpus},
    ),
    Metric(
        "nodes", "gauge", (*_OF_A_TYPE, "state"), "Worker nodes in each state.", note="0 for states without a node.",
    ),
    Metric(
        "node_state", "gauge", ("node", *_OF_A_TYPE),
        f"State of a node: {', '.join(f'{number} {state}' for state, number in STATE_NUMBERS.items())}.",
        note="A failed node is shown for one minute; a terminated node has no series."
        " With more than 1000 nodes, none has.",
    ),
    Metric(
        "min_workers", "gauge", _OF_A_TYPE, "Nodes that are never removed.",
        note="For a cluster that is only observed, it needs `--cluster`.", value=_limit("min_workers"),
    ),
    Metric(
        "max_workers", "gauge", _OF_A_TYPE, "Upper limit of nodes.",
        note="For a cluster that is only observed, it needs `--cluster`.", value=_limit("max_workers"),
    ),
    Metric(
        "cluster_max_workers", "gauge", (), "Upper limit of nodes of all types together.",
        value=lambda state: None if state.shape is None else {(): float(state.shape.max_workers)},
    ),
    Metric("cpu_used_cores", "gauge", _OF_A_TYPE, "Logical CPUs held by tasks, also on draining nodes.", "cores"),
    Metric(
        "cpu_capacity_cores", "gauge", _OF_A_TYPE, "Logical CPUs of the worker nodes that are running or idle.",
        "cores", note="It is the supply of the scorecard.",
    ),
    Metric(
        "scaling_events", "counter", (*_OF_A_TYPE, "event", "cause"), "Transitions of worker nodes into a state.",
    ),
    Metric(
        "launched_nodes", "counter", (*_OF_A_TYPE, "rules"), "Nodes requested, by the rules that set how many.",
        note="As in `orchestrate explain`, for example `speed, type limit`; `demand` if no more were needed."
        " Absent for a cluster that is only observed.",
    ),
    Metric(
        "no_launch", "gauge", ("node_type", "reason"),
        "1 while tasks wait and no other node of the type comes for this reason; 0 afterwards.",
        note="As in `orchestrate explain --at`. Without waiting tasks, `idle rule` is 1 while nodes are idle."
        " Absent for a cluster that is only observed.",
    ),
    Metric(
        "faults", "counter", ("kind", *_OF_A_TYPE), "Injected faults.",
        note=f"The kinds are {', '.join(f'`{kind}`' for kind in get_args(FaultKind))}; see [faults.md](faults.md).",
    ),
    Metric(
        "node_stage_seconds", "histogram", (*_OF_A_TYPE, "stage"), "Duration of each stage of a launch.", "seconds",
        buckets=(1, 2, 5, 10, 20, 30, 45, 60, 90, 120, 180, 300, 600, 1200),
        note="The stages are `request`, `boot` and `install`; `launch` covers all of them.",
    ),
    Metric(
        "task_wait_seconds", "histogram", ("arch",), "Time from a task's submission to its start.", "seconds",
        buckets=(0.1, 0.5, 1, 2, 5, 10, 30, 60, 120, 300, 600, 1200, 3600),
    ),
    Metric(
        "cost_dollars", "counter", _OF_A_TYPE, "Cost of the worker nodes so far.", "dollars",
        note="Absent if a price isn't known.",
    ),
    Metric(
        "hourly_cost_dollars", "gauge", _OF_A_TYPE, "Cost per hour of the worker nodes that are billed now.", "dollars",
        note="Absent if a price isn't known.",
    ),
    Metric(
        "scorecard", "gauge", ("setting", "repeat", "valid", "quantity"),
        "Numbers of the trials of this sweep that have just ended.",
        note="Each trial is shown for one minute: query it with `last_over_time`.",
    ),
    Metric(
        "trial_verdict", "gauge", ("setting", "repeat", "reason"),
        "1 for a valid trial that has just ended, 0 for an invalid one, with the reason.",
        note="It is shown as long as `scorecard`.",
    ),
    Metric(
        "setting_verdict", "gauge", ("setting",),
        "A setting of this sweep compared with the one that has the lowest median makespan: "
        f"{', '.join(f'{number} {verdict}' for number, verdict in enumerate(VERDICTS, start=1))}.",
        note="As in `orchestrate recommend`. It is shown as long as `scorecard`.",
    ),
    Metric(
        "observer_poll_seconds", "histogram", (), "Duration of each poll of the cluster.", "seconds",
        buckets=POLL_BUCKETS,
    ),
    Metric(
        "observer_lag_seconds", "gauge", (), "Age of the newest poll of the cluster.", "seconds",
    ),
    Metric("observer_errors", "counter", ("kind",), "Polls of the cluster that failed."),
)  # fmt: skip
"""All metrics, in the order of the documentation."""


def metric(name: str) -> Metric:
    """Return the metric of this name. Raises KeyError."""
    found = next((each for each in METRICS if each.name == name), None)
    if found is None:
        raise KeyError(name)
    return found


# Families of prometheus-client. `common` are labels with one value for all samples, such as the ids.


def gauge(name: str, values: Values, common: Mapping[str, str]) -> GaugeMetricFamily:
    """Return a gauge with these values, by label values."""
    return _gauge(metric(name), values, common)


def info(name: str, common: Mapping[str, str]) -> GaugeMetricFamily:
    """Return a metric that is always 1, with these labels. Settings that a trial leaves open have no label."""
    about = metric(name)
    family = GaugeMetricFamily(about.full_name, about.help, labels=list(common))
    family.add_metric(list(common.values()), 1.0)
    return family


def computed_gauges(state: TrialState, common: Mapping[str, str]) -> Iterator[GaugeMetricFamily]:
    """Yield the gauges that follow from the state of a trial."""
    for each in METRICS:
        if each.value is not None and (values := each.value(state)) is not None:
            yield _gauge(each, values, common)


def _gauge(about: Metric, values: Values, common: Mapping[str, str]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(about.full_name, about.help, labels=[*common, *about.labels], unit=about.unit)
    for key, value in values.items():
        family.add_metric([*common.values(), *key], value)
    return family


def counter_family(name: str, values: Values, common: Mapping[str, str]) -> CounterMetricFamily:
    """Return a counter with these values, by label values."""
    about = metric(name)
    family = CounterMetricFamily(about.full_name, about.help, labels=[*common, *about.labels], unit=about.unit)
    for key, value in values.items():
        family.add_metric([*common.values(), *key], value)
    return family


def histogram_family(
    name: str, values: Mapping[tuple[str, ...], Histogram], common: Mapping[str, str]
) -> HistogramMetricFamily:
    """Return a histogram with these counts, by label values."""
    about = metric(name)
    family = HistogramMetricFamily(about.full_name, about.help, labels=[*common, *about.labels], unit=about.unit)
    for key, counted in values.items():
        bounds = [(floatToGoString(bound), count) for bound, count in counted.cumulative()]  # type: ignore[no-untyped-call]
        family.add_metric([*common.values(), *key], bounds, counted.total_s)
    return family


def counter(name: str) -> Counter:
    """Return a counter for a trial that the caller increments."""
    about = metric(name)
    return Counter(about.full_name, about.help, [*IDS, *about.labels], registry=None, unit=about.unit)


def histogram(name: str) -> PrometheusHistogram:
    """Return a histogram for a trial that the caller fills."""
    about = metric(name)
    return PrometheusHistogram(
        about.full_name, about.help, [*IDS, *about.labels], buckets=about.buckets, registry=None, unit=about.unit
    )


# Documentation


def documentation() -> str:
    """Return the metrics as a Markdown table."""
    lines = ["| metric | type | labels | unit | meaning |", "|---|---|---|---|---|"]
    for each in METRICS:
        labels = ", ".join(f"`{label}`" for label in each.labels)
        meaning = f"{each.help} {each.note}".rstrip()
        lines.append(f"| `{each.documented_name}` | {each.type} | {labels} | {each.unit} | {meaning} |")
    return "\n".join(lines)


def documented(page: str) -> str:
    """Return a page with the table of metrics between its two markers."""
    return with_table(page, "metrics", documentation())


if __name__ == "__main__":
    rewrite(sys.argv[1:], documented)
