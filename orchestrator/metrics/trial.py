"""The Prometheus metrics of a trial, computed from its events. `docs/metrics.md` describes them."""

import math
from collections import Counter as Count
from collections.abc import Collection, Iterator, Mapping

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric

from orchestrator.analysis.trial.cost import Meter, meter
from orchestrator.analysis.trial.node_lives import STAGES, NodeLife, NodeLives
from orchestrator.metrics.catalogue import (
    HELP,
    IDS,
    PREFIX,
    STAGE_BUCKETS,
    STATES,
    Waits,
    counter,
    gauge,
    histogram,
    unit_of,
)
from orchestrator.model.arch import Arch
from orchestrator.model.cluster import ClusterShape
from orchestrator.model.events import (
    ALIVE_STATES,
    BILLED_STATES,
    DemandEvent,
    Event,
    FaultEvent,
    NodeEvent,
    NodeState,
    Phase,
    PhaseEvent,
    TaskEvent,
    UsageEvent,
)
from orchestrator.model.fault import Fault
from orchestrator.model.prices import Prices

# A scrape must stay cheap with ten thousand nodes: above this number, single nodes have no series.
MAX_NODE_SERIES = 1000
# The same for shapes of tasks that no longer wait: a cluster that is observed for days sees ever new ones.
MAX_PAST_SHAPES = 50
# A node that failed is seen so long in that state: longer than any scrape interval, and a mark on a graph of minutes.
FAILED_SHOWN_S = 60.0
PHASES: tuple[Phase, ...] = ("starting", "preparing", "submitting", "running", "scaling_down", "done", "failed")
_Values = dict[tuple[str, ...], float]


def _resources(shape: str) -> dict[str, float]:
    """Return what `CPU=1,Graviton=0.5` asks for; nothing for what isn't written so."""
    pairs = (part.rpartition("=") for part in shape.split(","))
    try:
        return {name: float(amount) for name, _, amount in pairs}
    except ValueError:
        # not logged: the name of a shape comes from the cluster, and may have any form.
        return {}


def _made_by_ray(resource: str) -> bool:
    """Whether nodes have a resource although no cluster config names it."""
    return resource in ("memory", "object_store_memory") or resource.startswith(
        ("node:", "bundle_", "accelerator_type:")
    )


class TrialMetrics:
    """The state of one trial, updated by its events. Not thread-safe: `Exporter` locks."""

    def __init__(
        self,
        sweep_id: str,
        trial_id: str,
        *,
        info: Mapping[str, str] | None = None,
        shape: ClusterShape | None = None,
        prices: Prices | None = None,
        faults: Collection[Fault] = (),
    ) -> None:
        self.ids = {"sweep_id": sweep_id, "trial_id": trial_id}
        self._info = dict(info or {})
        self._shape = shape
        self._prices = prices
        self._phase: Phase | None = None
        self._submitted: float | None = None
        self._pending: dict[str, int] = {}
        self._pending_cpus = 0.0
        self._used: dict[str, float] = {}
        self._lives = NodeLives(keep_ended=False)
        self._meters: dict[str, tuple[float, Meter]] = {}  # of the living; a scrape only reads them
        self._arch: dict[str, Arch] = {worker.name: worker.arch for worker in shape.workers} if shape else {}
        self._ended: Count[tuple[str, Arch, NodeState]] = Count()
        self._failed_at: dict[tuple[str, str, str], float] = {}
        self._spent: dict[tuple[str, Arch], float] = {}
        self._shown: dict[tuple[str, Arch], float] = {}
        self._unpriced: set[tuple[str, Arch]] = set()
        self._scaling = counter("scaling_events", "node_type", "arch", "event", "cause")
        self._faults = counter("faults", "kind", "node_type", "arch")
        self._stages = histogram("node_stage_seconds", STAGE_BUCKETS, "node_type", "arch", "stage")
        self._waits: dict[Arch, Waits] = {}
        self._begin_at_zero(faults)

    def _begin_at_zero(self, faults: Collection[Fault]) -> None:
        """Create the expected series at zero: `rate` and `increase` miss the first value of a series."""
        for node_type, arch in self._arch.items():
            self._waits[arch] = Waits()
            for stage, _, _ in STAGES:
                self._stages.labels(*self.ids.values(), node_type, arch, stage)
            for kind in {fault.kind for fault in faults if fault.node_type in (None, node_type)}:
                self._faults.labels(*self.ids.values(), kind, node_type, arch)

    def event(self, event: Event) -> None:
        """Take in an event."""
        match event:
            case NodeEvent() if not event.is_head:
                self._node(event)
            case DemandEvent():
                # A shape that no longer waits stays, as 0: a line that ends says nothing. The newest come last.
                past = [shape for shape in self._pending if shape not in event.pending]
                self._pending = dict.fromkeys(past[-MAX_PAST_SHAPES:], 0) | event.pending
                self._pending_cpus = event.pending_cpus
            case UsageEvent():
                self._used = {node_type: used for node_type, (used, _) in event.cpus.items()}
            case TaskEvent():
                self._waits.setdefault(event.arch, Waits()).observe(event.started - event.submitted, event.count)
            case FaultEvent(stage="begin"):
                self._faults.labels(*self.ids.values(), event.kind, event.node_type, event.arch).inc()
            case PhaseEvent():
                self._phase = event.phase
                if event.phase == "running" and self._submitted is None:
                    self._submitted = event.t

    def _node(self, event: NodeEvent) -> None:
        known = self._lives.get(event.node)
        if known is not None and known.ended:  # its machine is terminated after a crash
            self._count_ended(known, -1)
        change = self._lives.add(event)
        assert change is not None
        life, labels = change.life, (*self.ids.values(), event.node_type, event.arch)
        if known is None:
            self._arch[life.node_type] = life.arch
        if not change.is_baseline:
            self._scaling.labels(*labels, event.state, event.cause).inc()
        for stage, seconds in change.stage_seconds().items():
            self._stages.labels(*labels, stage).observe(max(0.0, seconds))
        if event.state in BILLED_STATES and self._usd_per_hour(life) is None:
            self._unpriced.add((life.node_type, life.arch))
        if life.ended:
            self._meters.pop(event.node, None)
            self._count_ended(life, +1)
            if life.state == "failed":
                self._failed_at[event.node, life.node_type, life.arch] = life.since
        else:
            self._meters[event.node] = self._meter(life)

    def _count_ended(self, life: NodeLife, count: int) -> None:
        key = life.node_type, life.arch
        self._ended[(*key, life.state)] += count
        usd_per_s, billed = self._meter(life)
        self._spent[key] = self._spent.get(key, 0.0) + count * usd_per_s * billed.seconds(life.since)

    def _usd_per_hour(self, life: NodeLife) -> float | None:
        return self._prices.of_node(life.node_type, life.instance_type) if self._prices is not None else None

    def _meter(self, life: NodeLife) -> tuple[float, Meter]:
        """Return the dollars a second and the billed seconds of a node."""
        # A baseline node is billed from the trial's beginning, which is the time of its first event.
        return (self._usd_per_hour(life) or 0.0) / 3600, meter(life, life.seen if life.baseline else -math.inf)

    # Metrics

    def collect(self, now: float, *, active: bool = True) -> Iterator[Metric]:
        """Yield the metrics at `now`, UNIX seconds. For a trial that isn't `active` any more, `now` is its end."""
        if self._info:
            yield gauge("trial_info", {(): 1.0}, self.ids | self._info)
        yield gauge("trial_active", {(): float(active)}, self.ids)
        yield gauge("trial_phase", {(phase,): float(phase == self._phase) for phase in PHASES}, self.ids, "phase")
        if self._submitted is not None:
            yield gauge("trial_start_timestamp_seconds", {(): self._submitted}, self.ids)
            yield gauge("trial_elapsed_seconds", {(): max(0.0, now - self._submitted)}, self.ids)
        yield gauge("pending_tasks", {(shape,): float(n) for shape, n in self._pending.items()}, self.ids, "shape")
        if self._shape is not None:
            yield gauge("infeasible_tasks", self._infeasible(self._shape), self.ids, "shape")
        yield gauge("pending_cpu_cores", {(): self._pending_cpus}, self.ids)
        yield from self._node_metrics(now)
        yield from self._cpu_metrics()
        yield from self._scaling.collect()
        yield from self._faults.collect()
        yield from self._stages.collect()
        yield self._wait_metric()
        yield self._cost(now)
        yield self._hourly_cost()

    def _infeasible(self, shape: ClusterShape) -> _Values:
        """Return the pending tasks of each shape that asks for more than any empty node has."""
        nodes = [shape.head, *shape.workers]
        unfit: _Values = {}
        for wanted, count in self._pending.items():
            needs = {name: amount for name, amount in _resources(wanted).items() if not _made_by_ray(name)}
            if count and not any(node.fits(needs, {}) for node in nodes):
                unfit[wanted,] = float(count)
        return unfit

    def _node_metrics(self, now: float) -> Iterator[Metric]:
        self._failed_at = {key: t for key, t in self._failed_at.items() if now - t < FAILED_SHOWN_S}
        counts: _Values = {(name, arch, state): 0.0 for name, arch in self._arch.items() for state in STATES}
        living = self._lives.living
        for life in living.values():
            counts[life.node_type, life.arch, life.state] = counts.get((life.node_type, life.arch, life.state), 0.0) + 1
        for key, ended in self._ended.items():
            counts[key] = counts.get(key, 0.0) + ended
        yield gauge("nodes", counts, self.ids, "node_type", "arch", "state")
        if len(living) <= MAX_NODE_SERIES:
            states: _Values = {
                (name, life.node_type, life.arch): STATES.index(life.state) + 1.0 for name, life in living.items()
            }
            states |= dict.fromkeys(self._failed_at, STATES.index("failed") + 1.0)
            yield gauge("node_state", states, self.ids, "node", "node_type", "arch")
        for limit in ("min_workers", "max_workers") if self._shape is not None else ():
            assert self._shape is not None
            limits: _Values = {(each.name, each.arch): float(getattr(each, limit)) for each in self._shape.workers}
            yield gauge(limit, limits, self.ids, "node_type", "arch")
        if self._shape is not None:
            yield gauge("cluster_max_workers", {(): float(self._shape.max_workers)}, self.ids)

    def _cpu_metrics(self) -> Iterator[Metric]:
        used: _Values = {(node_type, arch): self._used.get(node_type, 0.0) for node_type, arch in self._arch.items()}
        yield gauge("cpu_used_cores", used, self.ids, "node_type", "arch")
        # As the supply of the scorecard: a draining node takes no new task, though its present ones may go on.
        capacity: _Values = dict.fromkeys(used, 0.0)
        for life in self._lives.living.values():
            if life.state in ALIVE_STATES:
                key = life.node_type, life.arch
                capacity[key] = capacity.get(key, 0.0) + life.cpus
        yield gauge("cpu_capacity_cores", capacity, self.ids, "node_type", "arch")

    def _wait_metric(self) -> Metric:
        name = "task_wait_seconds"
        family = HistogramMetricFamily(PREFIX + name, HELP[name], labels=[*IDS, "arch"], unit=unit_of(name))
        for arch, waits in self._waits.items():
            family.add_metric([*self.ids.values(), arch], waits.buckets(), waits.total_s)
        return family

    def _hourly_cost(self) -> Metric:
        per_hour: dict[tuple[str, Arch], float] = {}
        for name, (usd_per_s, billed) in self._meters.items():
            life = self._lives.living[name]
            key = life.node_type, life.arch
            if billed.has_begun and self._is_priced(key):
                per_hour[key] = per_hour.get(key, 0.0) + 3600 * usd_per_s
        priced: _Values = {key: per_hour.get(key, 0.0) for key in self._spent | per_hour if self._is_priced(key)}
        return gauge("hourly_cost_dollars", priced, self.ids, "node_type", "arch")

    def _is_priced(self, key: tuple[str, Arch]) -> bool:
        return self._prices is not None and key not in self._unpriced

    def _cost(self, now: float) -> Metric:
        usd = dict(self._spent)
        for name, (usd_per_s, billed) in self._meters.items():
            if billed.has_begun:
                life = self._lives.living[name]
                key = life.node_type, life.arch
                usd[key] = usd.get(key, 0.0) + usd_per_s * billed.seconds(now)
        name, labels = "cost_dollars", [*IDS, "node_type", "arch"]
        family = CounterMetricFamily(PREFIX + name, HELP[name], labels=labels, unit=unit_of(name))
        for key, amount in usd.items():
            if self._is_priced(key):
                # The end of a node is reported a moment late: the counter then waits, but never falls.
                self._shown[key] = max(amount, self._shown.get(key, 0.0))
                family.add_metric([*self.ids.values(), *key], self._shown[key])
        return family
