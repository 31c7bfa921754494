"""An observer that polls a Ray cluster and emits the events of a trace. It never joins or changes the cluster."""

import json
import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Protocol

from orchestrator.model.events import DemandEvent, Emit, Event, HostEvent, NoteEvent, UsageEvent
from orchestrator.model.histogram import Histogram
from orchestrator.model.snapshot import Snapshot
from orchestrator.observer.monitorlog import is_unread, is_v1_line, parse_line
from orchestrator.observer.node_tracker import Describe, NodeTracker, TrackedNode

_log = logging.getLogger(__name__)

DEFAULT_INTERVAL_S = 0.5
HOST_INTERVAL_S = 1.0
MAX_SHAPES = 500
"""The most shapes of one record of demand: a cluster can ask for any number of them, and a line has a limit."""
OTHER_SHAPES = "other shapes"
# A gap gets a note if it could hide a node that came and went between two updates of the autoscaler.
GAP_S = 3.0


class ClusterView(Protocol):
    """A source of snapshots of a Ray cluster."""

    def poll(self) -> Snapshot:
        """Return a snapshot of the cluster. Raises ConnectionError while its GCS doesn't answer."""
        ...


class LogSource(Protocol):
    """A log that grows: a file, or a stream from another machine."""

    def read(self) -> Iterable[str]:
        """Return the complete lines that are new since the last call. Never waits for one."""
        ...


@dataclass(frozen=True)
class LogSources:
    """Logs with stages of nodes' lives that the GCS doesn't know; either may be missing.

    `journal` is that of our node provider, JSON lines; `monitor` is the log of Ray's monitor.
    """

    journal: LogSource | None = None
    monitor: LogSource | None = None


NO_LOGS = LogSources()

HostSample = Callable[[], tuple[float, float, int]]


def sample_host() -> tuple[float, float, int]:
    """Return CPU percent since the last call, the load of the last minute, and the available memory in bytes."""
    import psutil

    return psutil.cpu_percent(), psutil.getloadavg()[0], psutil.virtual_memory().available


POLL_BUCKETS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5)


@dataclass
class ObserverStatistics:
    """Statistics of the observer itself; times in seconds."""

    polls: int = 0
    errors: int = 0
    poll_seconds: float = 0.0
    slowest_poll_s: float = 0.0
    cpu_seconds: float = 0.0
    poll_histogram: Histogram = field(default_factory=lambda: Histogram(POLL_BUCKETS))


class Observer:
    """An observer of one cluster for its whole life. `attach` selects the trace that gets the events.

    observer = Observer(GcsView(address), describe)
    observer.start()
    observer.attach(trace.emit)

    `completes_gaps`: the logs go on where a broken connection interrupted them, so that a gap hides no node.
    """

    def __init__(
        self,
        view: ClusterView,
        describe: Describe,
        *,
        logs: LogSources = NO_LOGS,
        interval_s: float = DEFAULT_INTERVAL_S,
        host: HostSample | None = sample_host,
        host_interval_s: float = HOST_INTERVAL_S,
        completes_gaps: bool = False,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.interval_s = interval_s
        self.statistics = ObserverStatistics()
        self.latest: Snapshot | None = None
        self.failure: Exception | None = None
        self.describe = describe
        self._view = view
        self._clock = clock
        self._host = host
        self._host_interval_s = host_interval_s
        self._completes_gaps = completes_gaps
        self._tracker = NodeTracker(describe, provider_journal=logs.journal is not None)
        self._logs = logs
        self._lock = threading.Lock()
        self._emit: Emit | None = None
        self._last_demand: dict[str, int] | None = None
        self._last_usage: dict[str, tuple[float, float]] | None = None
        self._last_poll: float | None = None
        self._last_host = 0.0
        self._unreachable = False
        self._log_notes: set[str] = set()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    # Where events go

    def attach(self, emit: Emit) -> None:
        """Send events to `emit` from now on, starting with the current state, so that the trace is self-contained."""
        with self._lock:
            self._emit, self._last_demand, self._last_usage = emit, None, None
            for event in self._tracker.baseline(self._clock()):
                emit(event)

    def detach(self) -> None:
        """Stop sending events, but keep polling."""
        with self._lock:
            self._emit = None

    def nodes(self) -> list[TrackedNode]:
        """Return every node that is not terminated or failed."""
        with self._lock:
            return self._tracker.nodes()

    def refused(self) -> Counter[str]:
        """Return the number of nodes that were requested and that the cloud didn't give, by node type."""
        with self._lock:
            return self._tracker.refused()

    def of_ray_node(self, ray_node_id: str) -> TrackedNode | None:
        """Return the node with this id in Ray, or None."""
        with self._lock:
            return self._tracker.of_ray_node(ray_node_id)

    # The loop

    def start(self) -> None:
        """Poll in a thread until `stop`."""
        self._thread = threading.Thread(target=self._run, name="orchestrate-observer", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop the thread. A second call does nothing."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(timeout=10)

    def _run(self) -> None:
        due = time.monotonic()
        while not self._stopping.is_set():
            cpu, wall = time.thread_time(), time.monotonic()
            try:
                self.step()
            except Exception as error:  # a full disk, for example: `failure` fails the trial that is observed
                _log.exception("the observer stopped after an error")
                self.failure = error
                return
            self._count(time.thread_time() - cpu, time.monotonic() - wall)
            due = max(due + self.interval_s, time.monotonic())
            self._stopping.wait(due - time.monotonic())

    def _count(self, cpu_s: float, wall_s: float) -> None:
        self.statistics.polls += 1
        self.statistics.poll_histogram.observe(wall_s)
        self.statistics.cpu_seconds += cpu_s
        self.statistics.poll_seconds += wall_s
        self.statistics.slowest_poll_s = max(self.statistics.slowest_poll_s, wall_s)

    def step(self) -> None:
        """Poll once and emit new events. If the GCS doesn't answer, count an error and never raise."""
        try:
            snapshot = self._view.poll()
        except ConnectionError as error:
            self.statistics.errors += 1
            # A GCS that is away would repeat its traceback twice a second.
            if self._unreachable:
                _log.debug("the GCS still doesn't answer: %s", error)
            else:
                _log.warning("the GCS doesn't answer", exc_info=True)
            self._note_unreachable(str(error))
            snapshot = None
        with self._lock:
            if snapshot is not None:
                if self._unreachable:
                    _log.info("the GCS answers again")
                self._unreachable = False
                self._note_gaps(snapshot)
                self._emit_load(snapshot)
                for event in self._tracker.observe_snapshot(snapshot):
                    self._send(event)
                self.latest = snapshot
            self._read_logs()
            self._sample_host()

    def _send(self, event: Event) -> None:
        if self._emit is not None:
            self._emit(event)

    def _note_unreachable(self, reason: str) -> None:
        """Note once that the GCS doesn't answer. The length of the gap is noted when it answers again."""
        with self._lock:
            if not self._unreachable and self.latest is not None:
                text = f"the GCS doesn't answer: {reason}"
                self._send(NoteEvent(t=self._clock(), kind="gcs_unreachable", text=text))
            self._unreachable = True

    def _note_gaps(self, snapshot: Snapshot) -> None:
        gap = snapshot.t - self._last_poll if self._last_poll is not None else 0.0
        if gap > max(GAP_S, 3 * self.interval_s):
            text = f"the observer saw nothing of the cluster for {gap:.1f} s"
            kind = "observer_gap"
            if self._completes_gaps:
                text += "; nodes and tasks were completed from logs, pending tasks weren't"
                kind = "observer_gap_completed"
            self._send(NoteEvent(t=snapshot.t, kind=kind, text=text, seconds=gap))
        before = self.latest
        if before is not None and (snapshot.version < before.version or snapshot.session != before.session):
            self._send(NoteEvent(t=snapshot.t, kind="gcs_restarted", text="the GCS was restarted"))
        self._last_poll = snapshot.t

    def _emit_load(self, snapshot: Snapshot) -> None:
        pending: dict[str, int] = {}
        for demand in snapshot.demand:
            pending[demand.shape] = pending.get(demand.shape, 0) + demand.count
        pending = _bounded(pending)
        if pending != self._last_demand:
            self._last_demand = pending
            cpus = sum(demand.count * demand.resources.get("CPU", 0.0) for demand in snapshot.demand)
            self._send(DemandEvent(t=snapshot.t, pending=pending, pending_cpus=cpus))
        usage: dict[str, tuple[float, float]] = {}
        for node in snapshot.nodes:
            if node.status != "dead" and (not node.is_head or node.total.get("CPU")):
                used, total = usage.get(node.node_type, (0.0, 0.0))
                usage[node.node_type] = (used + node.used.get("CPU", 0.0), total + node.total.get("CPU", 0.0))
        if usage != self._last_usage:
            self._last_usage = usage
            self._send(UsageEvent(t=snapshot.t, cpus=usage))

    def _read_logs(self) -> None:
        journal, monitor = self._logs.journal, self._logs.monitor
        for line in journal.read() if journal is not None else ():
            try:
                events = list(self._tracker.observe_journal(json.loads(line)))
            except (ValueError, KeyError, TypeError, AttributeError):
                _log.debug("no entry of a journal: %.200r", line)
                continue
            for event in events:
                self._send(event)
        lines = list(monitor.read()) if monitor is not None else []
        for event in self._tracker.observe_log(*filter(None, map(parse_line, lines)), now=self._clock()):
            self._send(event)
        if journal is None and any(map(is_v1_line, lines)):
            self._note_log(
                "v1_monitor_log", "the monitor log is one of Ray's v1 autoscaler: it adds no stages of a launch"
            )
        if any(map(is_unread, lines)):
            self._note_log(
                "unread_monitor_log", "lines of the monitor log have an unknown form: their stages are missing"
            )

    def _note_log(self, kind: str, text: str) -> None:
        """Note once what the monitor's log can't tell."""
        if kind not in self._log_notes:
            self._log_notes.add(kind)
            _log.warning(text)
            self._send(NoteEvent(t=self._clock(), kind=kind, text=text))

    def _sample_host(self) -> None:
        now = self._clock()
        if self._host is not None and now - self._last_host >= self._host_interval_s:
            self._last_host = now
            cpu_percent, load, memory = self._host()
            self._send(HostEvent(t=now, cpu_percent=cpu_percent, load_1m=load, memory_available=memory))


def _bounded(pending: dict[str, int]) -> dict[str, int]:
    """Return the pending tasks by shape; the rarest shapes of too many count as others."""
    if len(pending) <= MAX_SHAPES:
        return pending
    kept = dict(sorted(pending.items(), key=lambda item: (-item[1], item[0]))[:MAX_SHAPES])
    return {**kept, OTHER_SHAPES: sum(pending.values()) - sum(kept.values())}
