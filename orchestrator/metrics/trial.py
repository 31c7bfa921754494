"""The Prometheus metrics of a trial, computed from its events. `docs/metrics.md` describes them."""

import math
from collections import Counter as Count
from collections.abc import Collection, Iterator, Mapping

from prometheus_client.core import Metric

from orchestrator.analysis.trial.cost import Meter, meter
from orchestrator.analysis.trial.node_lives import STAGES, NodeLife, NodeLives
from orchestrator.metrics.catalogue import (
    computed_gauges,
    counter,
    counter_family,
    gauge,
    histogram,
    histogram_family,
    info,
    metric,
)
from orchestrator.metrics.reasons import Reasons
from orchestrator.model.arch import Arch
from orchestrator.model.cluster import ClusterShape
from orchestrator.model.events import (
    ALIVE_STATES,
    BILLED_STATES,
    NODE_STATES,
    STATE_NUMBERS,
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
from orchestrator.model.histogram import Histogram
from orchestrator.model.prices import Prices
from orchestrator.model.resource_shape import needs_of

# Above this number, single nodes have no series, so that a scrape stays cheap.
MAX_NODE_SERIES = 1000
# The limit for shapes of tasks that no longer wait: an observed cluster sees new ones for days.
MAX_PAST_SHAPES = 50
# Seconds to expose a failed node: longer than any scrape interval, and visible on a graph of minutes.
FAILED_SHOWN_S = 60.0
_Values = dict[tuple[str, ...], float]


class TrialMetrics:
    """The state of one trial, updated by its events. Not thread-safe; `Exporter` locks."""

    def __init__(
        self,
        sweep_id: str,
        trial_id: str,
        *,
        info: Mapping[str, str] | None = None,
        shape: ClusterShape | None = None,
        reasons: Reasons | None = None,
        prices: Prices | None = None,
        faults: Collection[Fault] = (),
        head_runs_tasks: bool = True,
    ) -> None:
        self.ids = {"sweep_id": sweep_id, "trial_id": trial_id}
        self._info = dict(info or {})
        self.shape = shape
        self._reasons = reasons
        self._prices = prices
        self.now = 0.0
        self.active = True
        self.phase: Phase | None = None
        self.submitted: float | None = None
        self.pending: Mapping[str, int] = {}
        self.pending_cpus = 0.0
        self._used: dict[str, float] = {}
        self._lives = NodeLives(keep_ended=False)
        self._heads = NodeLives(keep_ended=False, heads=True)
        self._head_runs_tasks = head_runs_tasks
        self._meters: dict[str, tuple[float, Meter]] = {}  # of the living; a scrape only reads them
        self._arch: dict[str, Arch] = {worker.name: worker.arch for worker in shape.launchable} if shape else {}
        self._ended: Count[tuple[str, Arch, NodeState]] = Count()
        self._failed_at: dict[tuple[str, str, str], float] = {}
        self._spent: dict[tuple[str, Arch], float] = {}
        self._shown: dict[tuple[str, Arch], float] = {}
        self._unpriced: set[tuple[str, Arch]] = set()
        self._scaling = counter("scaling_events")
        self._faults = counter("faults")
        self._stages = histogram("node_stage_seconds")
        self._waits: dict[Arch, Histogram] = {}
        self._begin_at_zero(faults)

    def _begin_at_zero(self, faults: Collection[Fault]) -> None:
        """Create the expected series at zero: `rate` and `increase` miss the first value of a series."""
        for node_type, arch in self._arch.items():
            self._waits[arch] = _wait_histogram()
            for stage, _, _ in STAGES:
                self._stages.labels(*self.ids.values(), node_type, arch, stage)
            for kind in sorted({fault.kind for fault in faults if fault.node_type in (None, node_type)}):
                self._faults.labels(*self.ids.values(), kind, node_type, arch)

    def event(self, event: Event) -> None:
        """Process an event."""
        match event:
            case NodeEvent(is_head=True):
                if self._head_runs_tasks and event.cpus:
                    self._heads.add(event)
            case NodeEvent():
                self._node(event)
            case DemandEvent():
                # A shape that no longer waits stays at 0, because a line that ends is ambiguous. The newest come last.
                past = [shape for shape in self.pending if shape not in event.pending]
                self.pending = dict.fromkeys(past[-MAX_PAST_SHAPES:], 0) | event.pending
                self.pending_cpus = event.pending_cpus
            case UsageEvent():
                self._used = {node_type: used for node_type, (used, _) in event.cpus.items()}
            case TaskEvent():
                self._waits.setdefault(event.arch, _wait_histogram()).observe(
                    event.started - event.submitted, event.count
                )
            case FaultEvent(stage="begin"):
                self._faults.labels(*self.ids.values(), event.kind, event.node_type, event.arch).inc()
            case PhaseEvent():
                self.phase = event.phase
                if event.phase == "running" and self.submitted is None:
                    self.submitted = event.t

    def _node(self, event: NodeEvent) -> None:
        known = self._lives.get(event.node)
        if known is not None and known.ended:  # its machine is terminated after a failure
            self._count_ended(known, -1)
        if self._reasons is not None and known is None and self.submitted is not None:
            self._reasons.arrives(event, self.pending, self._lives.living.values())
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
            if self._reasons is not None and event.state == "failed" and life.never_ran:
                self._reasons.fails(event)
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
        """Return the dollars per second and the billed seconds of a node."""
        # A baseline node is billed from the trial's beginning, which is the time of its first event.
        return (self._usd_per_hour(life) or 0.0) / 3600, meter(life, life.seen if life.baseline else -math.inf)

    # Metrics

    def collect(self, now: float, *, active: bool = True) -> Iterator[Metric]:
        """Yield the metrics at `now`, UNIX seconds. For a trial that is no longer `active`, `now` is its end."""
        self.now, self.active = now, active
        if self._info:
            yield info("trial_info", self.ids | self._info)
        yield from computed_gauges(self, self.ids)
        if self.shape is not None:
            yield gauge("infeasible_tasks", self._infeasible(self.shape), self.ids)
        if self._reasons is not None and self.submitted is not None:
            living = self._lives.living.values()
            launched, keeping = self._reasons.at(now, self.pending, living, active=active)
            yield counter_family("launched_nodes", launched, self.ids)
            yield gauge("no_launch", keeping, self.ids)
        yield from self._node_metrics(now)
        yield from self._cpu_metrics()
        yield from self._scaling.collect()
        yield from self._faults.collect()
        yield from self._stages.collect()
        waits: dict[tuple[str, ...], Histogram] = {(arch,): counted for arch, counted in self._waits.items()}
        yield histogram_family("task_wait_seconds", waits, self.ids)
        yield self._cost(now)
        yield self._hourly_cost()

    def _infeasible(self, shape: ClusterShape) -> _Values:
        """Return the pending tasks of each shape that exceeds every empty node."""
        nodes = [shape.head, *shape.workers]
        unfit: _Values = {}
        for wanted, count in self.pending.items():
            needs = needs_of(wanted)
            if count and not any(node.fits(needs, {}) for node in nodes):
                unfit[wanted,] = float(count)
        return unfit

    def _node_metrics(self, now: float) -> Iterator[Metric]:
        self._failed_at = {key: t for key, t in self._failed_at.items() if now - t < FAILED_SHOWN_S}
        counts: _Values = {(name, arch, state): 0.0 for name, arch in self._arch.items() for state in NODE_STATES}
        living = self._lives.living
        for life in living.values():
            counts[life.node_type, life.arch, life.state] = counts.get((life.node_type, life.arch, life.state), 0.0) + 1
        for key, ended in self._ended.items():
            counts[key] = counts.get(key, 0.0) + ended
        yield gauge("nodes", counts, self.ids)
        if len(living) <= MAX_NODE_SERIES:
            states: _Values = {
                (name, life.node_type, life.arch): float(STATE_NUMBERS[life.state]) for name, life in living.items()
            }
            states |= dict.fromkeys(self._failed_at, float(STATE_NUMBERS["failed"]))
            yield gauge("node_state", states, self.ids)

    def _cpu_metrics(self) -> Iterator[Metric]:
        # A head counts where it can run tasks, as in the scorecard.
        heads = self._heads.living.values()
        types = self._arch | {head.node_type: head.arch for head in heads}
        used: _Values = {(node_type, arch): self._used.get(node_type, 0.0) for node_type, arch in types.items()}
        yield gauge("cpu_used_cores", used, self.ids)
        # Same as the supply of the scorecard: a draining node takes no new tasks, though present tasks can continue.
        capacity: _Values = dict.fromkeys(used, 0.0)
        for life in (*self._lives.living.values(), *heads):
            if life.state in ALIVE_STATES:
                key = life.node_type, life.arch
                capacity[key] = capacity.get(key, 0.0) + life.cpus
        yield gauge("cpu_capacity_cores", capacity, self.ids)

    def _hourly_cost(self) -> Metric:
        per_hour: dict[tuple[str, Arch], float] = {}
        for name, (usd_per_s, billed) in self._meters.items():
            life = self._lives.living[name]
            key = life.node_type, life.arch
            if billed.has_begun and self._is_priced(key):
                per_hour[key] = per_hour.get(key, 0.0) + 3600 * usd_per_s
        priced: _Values = {key: per_hour.get(key, 0.0) for key in self._spent | per_hour if self._is_priced(key)}
        return gauge("hourly_cost_dollars", priced, self.ids)

    def _is_priced(self, key: tuple[str, Arch]) -> bool:
        return self._prices is not None and key not in self._unpriced

    def _cost(self, now: float) -> Metric:
        usd = dict(self._spent)
        for name, (usd_per_s, billed) in self._meters.items():
            if billed.has_begun:
                life = self._lives.living[name]
                key = life.node_type, life.arch
                usd[key] = usd.get(key, 0.0) + usd_per_s * billed.seconds(now)
        priced: _Values = {}
        for key, amount in usd.items():
            if self._is_priced(key):
                # The end of a node is reported slightly late: the counter then waits, but never decreases.
                self._shown[key] = max(amount, self._shown.get(key, 0.0))
                priced[key] = self._shown[key]
        return counter_family("cost_dollars", priced, self.ids)


def _wait_histogram() -> Histogram:
    return Histogram(metric("task_wait_seconds").buckets)
