"""A tracker that merges several sources about a node: each transition becomes one scaling event.

The sources differ: the GCS has exact start and end times, but only of Ray; the provider's journal knows the machine;
the monitor's log knows the autoscaler's intent. Each may be late. A state is reported once, with its true time, in the
order of `STATE_RANK`; `running` and `idle` alternate.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from orchestrator.model.arch import Arch, infer_arch
from orchestrator.model.cluster import ClusterShape
from orchestrator.model.events import (
    FINAL_STATES,
    LAUNCH_STAGES,
    STATE_RANK,
    NodeEvent,
    NodeState,
    NoteEvent,
    StageEvent,
)
from orchestrator.model.snapshot import NodeRow, Snapshot
from orchestrator.observer.monitorlog import InstanceTransition, LogClock

_STAGES_BEFORE_RAY: tuple[NodeState, ...] = ("requested", "allocated", "installing")
_JOURNAL_STATES: dict[str, NodeState] = {
    "requested": "requested",
    "allocated": "allocated",
    "installing": "installing",
    "terminating": "draining",
    "terminated": "terminated",
    "failed": "failed",
}
_DEATH_CAUSES = {"idle": "idle", "expected": "scale_down", "preempted": "preempted"}


@dataclass(frozen=True, slots=True)
class NodeTraits:
    """The properties that follow from a node's type."""

    arch: Arch
    instance_type: str = ""
    cpus: float | None = None


Describe = Callable[[str, Mapping[str, str], Mapping[str, float]], NodeTraits]


def describe_by(shape: ClusterShape | None) -> Describe:
    """Return a function that finds a node's traits in the shape, or else in the node's own data."""

    def describe(node_type: str, labels: Mapping[str, str], resources: Mapping[str, float]) -> NodeTraits:
        known = shape.node_type(node_type) if shape is not None else None
        if known is not None:
            return NodeTraits(known.arch, known.instance_type, known.cpus)
        return NodeTraits(infer_arch(name=node_type, labels=labels, resources=resources))

    return describe


@dataclass(slots=True)
class TrackedNode:
    """The current knowledge about a node, which entered `state` at `since`."""

    node: str
    node_type: str
    traits: NodeTraits
    state: NodeState | None = None
    since: float = 0.0
    cpus: float = 0.0
    is_head: bool = False
    ray_node_id: str = ""
    cause: str = ""
    seen: set[NodeState] = field(default_factory=set)


class NodeTracker:
    """A tracker of all nodes. Pass it snapshots, journal entries and log lines; each call yields new scaling events.

    With `provider_journal`, a journal reports the end of machines. Without it, a node ends when its Ray ends.
    """

    def __init__(self, describe: Describe, *, provider_journal: bool = False) -> None:
        self._describe = describe
        self._provider_journal = provider_journal
        self._nodes: dict[str, TrackedNode] = {}
        self._by_ray_id: dict[str, TrackedNode] = {}
        self._unlinked: dict[str, list[InstanceTransition]] = {}
        self._cloud_ids: dict[str, str] = {}
        self._demand_seen = False
        self._log_clock = LogClock()
        self._latest: float | None = None  # the latest time that a source with a clock of its own has told

    def nodes(self) -> list[TrackedNode]:
        """Return every node that is not terminated or failed."""
        return [node for node in self._nodes.values() if node.state not in FINAL_STATES]

    def refused(self) -> Counter[str]:
        """Return the number of nodes that were requested and that the cloud didn't give, by node type."""
        return Counter(
            node.node_type for node in self._nodes.values() if node.state == "failed" and "allocated" not in node.seen
        )

    def of_ray_node(self, ray_node_id: str) -> TrackedNode | None:
        """Return the node, living or dead, with this id in Ray, or None."""
        return self._by_ray_id.get(ray_node_id)

    def baseline(self, t: float) -> list[NodeEvent]:
        """Return the current state of every node as events at `t`, with which a trace can begin."""
        return [
            self._event(node, node.state, t, None, "baseline", "", since=node.since)
            for node in self.nodes()
            if node.state is not None
        ]

    # Sources

    def observe_snapshot(self, snapshot: Snapshot) -> Iterator[NodeEvent]:
        """Yield the events in a snapshot of the GCS: nodes that joined, became idle or busy, drain, or died."""
        self._know_time(snapshot.t)
        self._demand_seen = any(demand.count for demand in snapshot.demand)
        for row in snapshot.nodes:
            node = self._by_ray_id.get(row.ray_node_id)
            if node is None:
                if row.status == "dead" and row.instance_id not in self._nodes:
                    continue  # it died before the first poll
                node = self._node(row.node, row.node_type, row.labels, row.total)
                node.ray_node_id, node.is_head = row.ray_node_id, row.is_head
                node.cpus = row.total.get("CPU", node.cpus)
                self._by_ray_id[row.ray_node_id] = node
            yield from self._observe_row(node, row, snapshot.t)

    def _observe_row(self, node: TrackedNode, row: NodeRow, t: float) -> Iterator[NodeEvent]:
        if "running" not in node.seen:
            yield from self._enter(node, "running", row.start_time)
        if row.status == "idle":
            yield from self._enter(node, "idle", max(t - row.idle_s, row.start_time), "no tasks")
        elif row.status == "running" and node.state == "idle":
            yield from self._enter(node, "running", t, "tasks")
        elif row.status == "draining":
            yield from self._enter(node, "draining", t)
        elif row.status == "dead":
            end, cause = row.end_time or t, _DEATH_CAUSES.get(row.death_reason)
            if cause is None and node.state != "draining":
                yield from self._enter(node, "failed", end, "crash", row.death_message)
            elif self._provider_journal and not node.is_head:
                yield from self._enter(node, "draining", end, cause or "", row.death_message)
            else:
                yield from self._enter(node, "terminated", end, node.cause or cause or "", row.death_message)

    def observe_journal(self, entry: Mapping[str, Any]) -> Iterator[NodeEvent | StageEvent | NoteEvent]:
        """Yield the events in an entry of the provider's journal: requests, allocations, terminations and failures.

        An entry may also say that a stage of a launch begins, or that the cloud throttles the autoscaler.
        """
        if entry.get("event") == "throttled":
            text = f"the cloud throttled the autoscaler's calls ({entry['detail'][:60]}): its updates were late"
            yield NoteEvent(t=entry["t"], kind="autoscaler_throttled", text=text)
            return
        if entry.get("event") == "stage":
            if entry["stage"] in LAUNCH_STAGES:
                self._know_time(entry["t"])
                yield StageEvent(t=entry["t"], node=entry["node"], node_type=entry["node_type"], stage=entry["stage"])
            return
        # The GCS takes a quarter of a minute to notice that a raylet has ended.
        crashed = entry.get("event") == "ray_ended" and entry.get("code", 0) != 0
        state = "failed" if crashed else _JOURNAL_STATES.get(entry.get("event", ""))
        if state is None:
            return
        self._know_time(entry["t"])
        node = self._node(entry["node"], entry["node_type"], {}, {})
        if crashed and node.state == "draining":
            return
        cause = ""
        if state == "requested":
            cause = "demand" if self._demand_seen else "min_workers"
        elif state == "failed":
            cause = entry.get("cause") or ("crash" if crashed else "launch")
        elif state == "terminated":
            cause = node.cause
        yield from self._enter(node, state, entry["t"], cause, entry.get("detail", ""))

    def observe_log(self, *lines: InstanceTransition, now: float | None = None) -> Iterator[NodeEvent]:
        """Yield the events that the autoscaler's log adds. Pass lines that were read together in one call.

        `now` is when they were read, in UNIX seconds; by default, the latest time of another source.

        Without a journal, the log shows a machine's first stages and its failure to launch. With a journal, the log
        shows only why a node drains: the journal has the rest, and a launch must not be counted twice.
        """
        self._log_clock.sync(lines, self._latest if now is None else now)
        for line in lines:
            yield from self._observe_line(line)

    def _observe_line(self, line: InstanceTransition) -> Iterator[NodeEvent]:
        """Handle one line. An instance has no cloud id before it is allocated: earlier lines are held until then."""
        if line.cloud_id:
            self._cloud_ids[line.instance] = line.cloud_id
        cloud_id = self._cloud_ids.get(line.instance)
        if cloud_id is None:
            if line.state != "failed":
                self._unlinked.setdefault(line.instance, []).append(line)
                return
            held = self._unlinked.pop(line.instance, [])
            if not self._provider_journal:
                node = self._node(line.instance, line.node_type, {}, {})
                for earlier in (*held, line):
                    yield from self._enter_as_logged(node, earlier)
            return
        node = self._node(cloud_id, line.node_type, {}, {})
        node.is_head = node.is_head or "(HEAD)" in line.detail
        if line.state == "running":
            yield from self._reject_drain(node, line)
            return
        for each in (*self._unlinked.pop(line.instance, []), line):
            if each.state in ("draining", "failed") or not self._provider_journal:
                yield from self._enter_as_logged(node, each)

    def _enter_as_logged(self, node: TrackedNode, line: InstanceTransition) -> Iterator[NodeEvent]:
        cause = {"draining": _cause_in(line.detail), "failed": "launch"}.get(line.state, "")
        yield from self._enter(node, line.state, self._log_clock.time_of(line), cause, line.detail)

    def _reject_drain(self, node: TrackedNode, line: InstanceTransition) -> Iterator[NodeEvent]:
        """Return a node to `running` that rejected its drain because work had arrived."""
        if node.state == "draining":
            t = max(self._log_clock.time_of(line), node.since)
            node.state, node.since, node.cause = "running", t, ""
            node.seen.discard("draining")
            yield self._event(node, "running", node.since, "draining", "drain_rejected", line.detail)

    def _know_time(self, t: float) -> None:
        self._latest = t if self._latest is None else max(self._latest, t)

    # The only place where states change, apart from `_reject_drain`

    def _enter(
        self, node: TrackedNode, state: NodeState, t: float, cause: str = "", detail: str = ""
    ) -> Iterator[NodeEvent]:
        if node.state == state == "draining":
            node.cause = node.cause or cause
        alternates = {node.state, state} == {"running", "idle"}
        # A machine outlives its failure and is billed until the autoscaler terminates it. A journal itself reports
        # when a machine on which Ray never ran has ended.
        had_machine = "running" in node.seen or (not self._provider_journal and "allocated" in node.seen)
        terminated_after_failure = node.state == "failed" and state == "terminated" and had_machine
        ended = node.state in FINAL_STATES and not terminated_after_failure
        if node.state == state or ended or (state in node.seen and not alternates):
            return
        node.seen.add(state)
        if node.state is not None and STATE_RANK[state] < STATE_RANK[node.state]:
            # The report is late, so keep the current state. v2 notices an allocation only when Ray may already run.
            if state in _STAGES_BEFORE_RAY or t <= node.since:
                yield self._event(node, state, min(t, node.since), None, cause, detail)
            return
        t = max(t, node.since)  # clocks and polls differ slightly, but states must not go back in time
        previous, node.state, node.since = node.state, state, t
        if state == "draining":
            node.cause = cause
        yield self._event(node, state, t, previous, cause, detail)

    def _event(
        self,
        node: TrackedNode,
        state: NodeState,
        t: float,
        previous: NodeState | None,
        cause: str,
        detail: str,
        since: float | None = None,
    ) -> NodeEvent:
        return NodeEvent(
            t=t,
            node=node.node,
            node_type=node.node_type,
            arch=node.traits.arch,
            instance_type=node.traits.instance_type,
            cpus=node.cpus,
            is_head=node.is_head,
            state=state,
            previous=previous,
            cause=cause,
            detail=detail[:500],
            ray_node_id=node.ray_node_id,
            since=since,
        )

    def _node(self, key: str, node_type: str, labels: Mapping[str, str], resources: Mapping[str, float]) -> TrackedNode:
        if key not in self._nodes:
            traits = self._describe(node_type, labels, resources)
            self._nodes[key] = TrackedNode(key, node_type, traits, cpus=traits.cpus or 0.0)
        return self._nodes[key]


def _cause_in(detail: str) -> str:
    for word, cause in (("idle", "idle"), ("max", "max_workers"), ("outdated", "outdated"), ("preempt", "preempted")):
        if word in detail.lower():
            return cause
    return "scale_down"
