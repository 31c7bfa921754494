"""A trial as Prometheus metrics: a function of its events, like everything else. `docs/metrics.md` describes them."""

from collections import Counter as Count
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric

from orchestrator.analysis.trial.cost import MINIMUM_S
from orchestrator.analysis.trial.node_lives import STAGES
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
    FINAL_STATES,
    STATE_RANK,
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

# A scrape must stay cheap with ten thousand nodes: beyond so many, single nodes have no series.
MAX_NODE_SERIES = 1000
# Likewise of shapes that no task waits with any more: a cluster that is observed for days sees ever new ones.
MAX_PAST_SHAPES = 50
PHASES: tuple[Phase, ...] = ("starting", "preparing", "submitting", "running", "scaling_down", "done", "failed")
_Values = dict[tuple[str, ...], float]


@dataclass
class _Node:
    node_type: str
    arch: Arch
    state: NodeState
    since: float
    entered: dict[NodeState, float]
    usd_per_hour: float | None
    baseline: bool
    cpus: float = 0.0
    billed_from: float | None = None
    billed_until: float | None = None

    def usd(self, now: float) -> float:
        if self.usd_per_hour is None or self.billed_from is None:
            return 0.0
        seconds = max(0.0, (now if self.billed_until is None else self.billed_until) - self.billed_from)
        return self.usd_per_hour / 3600 * (seconds if self.baseline else max(MINIMUM_S, seconds))


class TrialMetrics:
    """The state of one trial, fed with its events. Not safe for threads: `Exporter` locks."""

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
        self._nodes: dict[str, _Node] = {}
        self._arch: dict[str, Arch] = {worker.name: worker.arch for worker in shape.workers} if shape else {}
        self._crashed: dict[str, _Node] = {}
        self._gone: Count[tuple[str, Arch, NodeState]] = Count()
        self._spent: dict[tuple[str, Arch], float] = {}
        self._shown: dict[tuple[str, Arch], float] = {}
        self._unpriced: set[tuple[str, Arch]] = set()
        self._scaling = counter("scaling_events", "node_type", "arch", "event", "cause")
        self._faults = counter("faults", "kind", "node_type", "arch")
        self._stages = histogram("node_stage_seconds", STAGE_BUCKETS, "node_type", "arch", "stage")
        self._waits: dict[Arch, Waits] = {}
        self._begin_at_zero(faults)

    def _begin_at_zero(self, faults: Collection[Fault]) -> None:
        """What is known to be asked for: `rate` and `increase` miss what a series has when it appears."""
        for node_type, arch in self._arch.items():
            self._waits[arch] = Waits()
            for stage, _, _ in STAGES:
                self._stages.labels(*self.ids.values(), node_type, arch, stage)
            for kind in {fault.kind for fault in faults if fault.node_type in (None, node_type)}:
                self._faults.labels(*self.ids.values(), kind, node_type, arch)

    def event(self, event: Event) -> None:
        """Take an event in."""
        match event:
            case NodeEvent() if not event.is_head:
                self._node(event)
            case DemandEvent():
                # A shape that no longer waits is 0, not gone: a line that ends says nothing. The newest stand last.
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
        since = event.t if event.since is None else event.since
        node = self._nodes.get(event.node) or self._dig_up(event.node)
        if node is None:
            price = self._prices.of(event.instance_type) if self._prices is not None else None
            node = _Node(event.node_type, event.arch, event.state, since, {}, price, event.cause == "baseline")
            self._nodes[event.node] = node
            self._arch[event.node_type] = event.arch
        first_time = event.state not in node.entered
        # Some sources tell of a stage when the node is long past it; then only its duration is news.
        late = (since, STATE_RANK[event.state]) < (node.since, STATE_RANK[node.state])
        if event.previous is not None or not late:
            node.state, node.since = event.state, since
        node.entered.setdefault(event.state, since)
        node.cpus = event.cpus or node.cpus
        if event.cause != "baseline":
            self._scaling.labels(*self.ids.values(), event.node_type, event.arch, event.state, event.cause).inc()
        if first_time and not node.baseline:
            for stage, begin, end in STAGES:
                if event.state in (begin, end) and begin in node.entered and end in node.entered:
                    seconds = max(0.0, node.entered[end] - node.entered[begin])
                    self._stages.labels(*self.ids.values(), event.node_type, event.arch, stage).observe(seconds)
        self._bill(node, event)

    def _dig_up(self, name: str) -> _Node | None:
        """A node that crashed, now that its machine is ended too: until then it had to be paid."""
        node = self._crashed.pop(name, None)
        if node is not None:
            self._gone[node.node_type, node.arch, "failed"] -= 1
            self._spent[node.node_type, node.arch] -= node.usd(node.since)
            node.billed_until = None
            self._nodes[name] = node
        return node

    def _bill(self, node: _Node, event: NodeEvent) -> None:
        key = node.node_type, node.arch
        if event.state in BILLED_STATES:
            if node.billed_from is None:
                node.billed_from = event.t  # for a baseline node the beginning of the trial
                if node.usd_per_hour is None:
                    self._unpriced.add(key)
            elif not node.baseline:
                node.billed_from = min(node.billed_from, event.t)
        if event.state in FINAL_STATES:
            node.billed_until = event.t
            self._spent[key] = self._spent.get(key, 0.0) + node.usd(event.t)
            self._gone[node.node_type, node.arch, event.state] += 1
            del self._nodes[event.node]
            if event.state == "failed" and not ALIVE_STATES.isdisjoint(node.entered):
                self._crashed[event.node] = node

    # Metrics

    def collect(self, now: float, *, active: bool = True) -> Iterator[Metric]:
        """The metrics at `now`, UNIX seconds; of a trial that isn't `active` any more, when it ended."""
        if self._info:
            yield gauge("trial_info", {(): 1.0}, self.ids | self._info)
        yield gauge("trial_active", {(): float(active)}, self.ids)
        yield gauge("trial_phase", {(phase,): float(phase == self._phase) for phase in PHASES}, self.ids, "phase")
        if self._submitted is not None:
            yield gauge("trial_start_timestamp_seconds", {(): self._submitted}, self.ids)
        yield gauge("pending_tasks", {(shape,): float(n) for shape, n in self._pending.items()}, self.ids, "shape")
        yield gauge("pending_cpu_cores", {(): self._pending_cpus}, self.ids)
        yield from self._node_metrics()
        yield from self._cpu_metrics()
        yield from self._scaling.collect()
        yield from self._faults.collect()
        yield from self._stages.collect()
        yield self._wait_metric()
        yield self._cost(now)

    def _node_metrics(self) -> Iterator[Metric]:
        counts: _Values = {(name, arch, state): 0.0 for name, arch in self._arch.items() for state in STATES}
        for node in self._nodes.values():
            counts[node.node_type, node.arch, node.state] = counts.get((node.node_type, node.arch, node.state), 0.0) + 1
        for key, gone in self._gone.items():
            counts[key] = counts.get(key, 0.0) + gone
        yield gauge("nodes", counts, self.ids, "node_type", "arch", "state")
        if len(self._nodes) <= MAX_NODE_SERIES:
            states: _Values = {
                (name, node.node_type, node.arch): STATES.index(node.state) + 1.0 for name, node in self._nodes.items()
            }
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
        # The supply of the scorecard: a node that drains takes no task any more, though those that it has may go on.
        capacity: _Values = dict.fromkeys(used, 0.0)
        for node in self._nodes.values():
            if node.state in ALIVE_STATES:
                key = node.node_type, node.arch
                capacity[key] = capacity.get(key, 0.0) + node.cpus
        yield gauge("cpu_capacity_cores", capacity, self.ids, "node_type", "arch")

    def _wait_metric(self) -> Metric:
        name = "task_wait_seconds"
        family = HistogramMetricFamily(PREFIX + name, HELP[name], labels=[*IDS, "arch"], unit=unit_of(name))
        for arch, waits in self._waits.items():
            family.add_metric([*self.ids.values(), arch], waits.buckets(), waits.total_s)
        return family

    def _cost(self, now: float) -> Metric:
        usd = dict(self._spent)
        for node in self._nodes.values():
            if node.billed_from is not None:
                key = node.node_type, node.arch
                usd[key] = usd.get(key, 0.0) + node.usd(now)
        name, labels = "cost_dollars", [*IDS, "node_type", "arch"]
        family = CounterMetricFamily(PREFIX + name, HELP[name], labels=labels, unit=unit_of(name))
        for key, amount in usd.items():
            if self._prices is not None and key not in self._unpriced:
                # That a node has ended is heard a moment later: the counter then waits, but never turns back.
                self._shown[key] = max(amount, self._shown.get(key, 0.0))
                family.add_metric([*self.ids.values(), *key], self._shown[key])
        return family
