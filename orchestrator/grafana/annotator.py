"""Grafana annotations of trials, scaling events and faults, written while a trial runs.

The trial only appends to a bounded queue. A separate thread takes events from it, joins simultaneous events into one
annotation, and sends it. If Grafana is too slow, annotations are dropped and counted; the trial never waits.
"""

import logging
import threading
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from typing import Any

from orchestrator.analysis.trial.node_lives import NodeLives
from orchestrator.errors import OrchestrateError
from orchestrator.grafana.answers import NewAnnotation, Permissions
from orchestrator.grafana.client import Grafana, RequestRefused, WrongToken
from orchestrator.model.events import Event, FaultEvent, NodeEvent
from orchestrator.model.fault import LASTING
from orchestrator.model.scorecard import Scorecard
from orchestrator.model.trial import Trial
from orchestrator.remote_api import TOO_MANY_REQUESTS

_log = logging.getLogger(__name__)

CAPACITY = 2000
# Seconds to collect events before sending them, and to wait after a failure.
GATHER_S = 1.0
PAUSE_S = 10.0
CLOSE_S = 2.0
REQUEST_TIMEOUT_S = 5.0
# Seconds to connect, and again to wait for the answer, before the first trial.
CHECK_TIMEOUT_S = 1.0
# Events of one kind within this many seconds become one annotation.
TOGETHER_S = 2.0
# A viewer may annotate only boards.
_SCOPES = frozenset({"*", "annotations:*", "annotations:type:*", "annotations:type:organization"})


@dataclass(frozen=True)
class Annotation:
    """An annotation in Grafana: a point in time, or a region from `t` to `until`, in UNIX seconds.

    `events` is the number of joined events.
    """

    t: float
    text: str
    tags: tuple[str, ...]
    until: float | None = None
    events: int = 1

    def body(self) -> dict[str, Any]:
        """Return the annotation for the API, with times in milliseconds."""
        moments = {"time": round(self.t * 1000)}
        if self.until is not None:
            moments["timeEnd"] = max(round(self.until * 1000), moments["time"])
        text = self.text if self.events == 1 else f"{self.events} × {self.text}"
        return {**moments, "tags": list(self.tags), "text": text}


@dataclass(frozen=True)
class Written:
    """The result: the number of events written to Grafana and of events dropped, with the reason."""

    written: int
    dropped: int
    reason: str = ""

    def __str__(self) -> str:
        """Return the line for the end of a sweep."""
        text = f"{self.written} events as annotations in Grafana"
        return text + (f", {self.dropped} not: {self.reason or 'it was too slow'}" if self.dropped else "")


def may_annotate(grafana: Grafana) -> bool:
    """Return true if the token may write annotations without a board, or if Grafana (before 9) can't say.

    Raises OrchestrateError.
    """
    permissions = grafana.find(lambda api: api.client.GET("/access-control/user/permissions"), Permissions)
    if permissions is None:
        return True
    return not _SCOPES.isdisjoint(permissions.get("annotations:create") or ())


class Sink:
    """A writer of annotations to Grafana. `add` returns the id that `change` takes."""

    def __init__(self, grafana: Grafana) -> None:
        self._grafana = grafana

    def add(self, annotation: Annotation) -> int:
        """Write a new annotation and return its id. Raises OrchestrateError."""
        return self._grafana.send(lambda api: api.client.POST("/annotations", json=annotation.body()), NewAnnotation)[
            "id"
        ]

    def change(self, number: int, annotation: Annotation) -> None:
        """Replace an annotation. Raises OrchestrateError."""
        self._grafana.write(lambda api: api.client.PUT(f"/annotations/{number}", json=annotation.body()))


@dataclass
class _Boundary:
    """The running trial, from its first event to its last. It stores the trial's id, which is a hash."""

    trial_id: str
    label: str
    first: float | None = None
    last: float = 0.0

    def at(self, t: float) -> None:
        self.first = t if self.first is None else min(self.first, t)
        self.last = max(self.last, t)


@dataclass(frozen=True)
class _Begins:
    region: str
    annotation: Annotation


@dataclass(frozen=True)
class _Ends:
    region: str
    annotation: Annotation


_Item = Annotation | _Begins | _Ends


class Annotator:
    """A watcher of a sweep (see `sweeps.watcher.Watcher`) that annotates it.

    with Annotator(sweep_id, Sink(grafana)) as annotator:
        Runner(ledger, backend, folder, [annotator]).run(sweep_id)
    print(annotator.result)
    """

    name = "annotations"

    def __init__(
        self,
        sweep_id: str,
        sink: Sink,
        *,
        capacity: int = CAPACITY,
        gather_s: float = GATHER_S,
        pause_s: float = PAUSE_S,
        close_s: float = CLOSE_S,
    ) -> None:
        self._sweep_tag = f"sweep:{sweep_id}"
        self._sink = sink
        self._capacity = capacity
        self._gather_s = gather_s
        self._pause_s = pause_s
        self._close_s = close_s
        self._waiting: deque[_Item] = deque()
        self._trial: _Boundary | None = None
        self._lives = NodeLives(keep_ended=False)
        self._tally = _Tally()
        self._regions: dict[str, int] = {}
        self._overflown = 0
        self._refused = False
        self._abandoned = False
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._work, name="grafana-annotations", daemon=True)
        self._thread.start()

    # Called by the sweep: nothing here may block.

    def trial_started(self, number: int, total: int, trial: Trial) -> None:
        """Store the trial. Its first event marks its beginning."""
        self._trial = _Boundary(trial.trial_id, f"Trial {number} of {total}: {trial.label()}")
        self._lives = NodeLives(keep_ended=False)

    def event(self, event: Event) -> None:
        """Queue an annotation for a scaling event or a fault. Alternation between idle and running gets none."""
        running = self._trial
        if running is None:
            return
        is_first = running.first is None
        running.at(event.t)
        if is_first:
            self._put(_Begins(running.trial_id, self._boundary(running, running.label)), always=True)
        change = self._lives.add(event)
        if change is not None and change.is_scaling:
            self._put(self._scaling(running.trial_id, change.event))
        elif isinstance(event, FaultEvent):
            self._put(self._fault(running.trial_id, event))

    def _scaling(self, trial_id: str, event: NodeEvent) -> Annotation:
        text = f"{event.node_type} ({event.arch}) {event.state}" + (f": {event.cause}" if event.cause else "")
        return Annotation(event.t, text, self._tags(trial_id, event.state, event.arch, event.node_type))

    def _fault(self, trial_id: str, event: FaultEvent) -> _Item:
        """Return a point, or a region for a lasting fault that has ended."""
        began = event.t if event.since is None else event.since
        over = event.stage == "end"
        text = f"Fault: {event.kind} of {event.node_type} ({event.arch}) {event.node}: {event.detail}"
        tags = self._tags(trial_id, "fault", event.arch, event.node_type)
        annotation = Annotation(began, text, tags, event.t if over else None)
        region = f"{trial_id} {event.node} {began}"
        if over:
            return _Ends(region, annotation)
        return _Begins(region, annotation) if event.kind in LASTING else annotation

    def trial_ended(self, trial: Trial, scorecard: Scorecard | None, reason: str) -> None:
        """Turn the mark of the trial into a region with the result as text."""
        self._end(_result_of(scorecard, reason))

    def _end(self, result: str) -> None:
        running, self._trial = self._trial, None
        if running is not None and running.first is not None:
            region = self._boundary(running, f"{running.label}\n{result}", until=running.last)
            self._put(_Ends(running.trial_id, region), always=True)

    def _boundary(self, running: _Boundary, text: str, until: float | None = None) -> Annotation:
        assert running.first is not None
        return Annotation(running.first, text, self._tags(running.trial_id, "trial"), until)

    def _tags(self, trial_id: str, event: str, arch: str = "", node_type: str = "") -> tuple[str, ...]:
        more = (f"arch:{arch}", f"node_type:{node_type}") if arch else ()
        return ("orchestrate", self._sweep_tag, f"trial:{trial_id}", f"event:{event}", *more)

    def _put(self, item: _Item, *, always: bool = False) -> None:
        if self._refused or (len(self._waiting) >= self._capacity and not always):
            self._overflown += 1
            return
        self._waiting.append(item)
        if not self._wake.is_set():
            self._wake.set()

    # The end

    @property
    def result(self) -> Written:
        """Return the result so far. Waiting events count as dropped."""
        return self._tally.result(left=self._overflown + sum(map(_events, list(self._waiting))))

    def close(self) -> Written:
        """Send waiting events for at most `close_s`, and drop the rest. A trial that still runs was interrupted.

        A second call only returns the result.
        """
        if self._abandoned:
            return self.result
        self._end("interrupted")
        self._closing.set()
        self._wake.set()
        self._thread.join(self._close_s)
        self._abandoned = True
        return self.result

    def __enter__(self) -> "Annotator":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # The thread

    def _work(self) -> None:
        while True:
            self._wake.wait()
            self._wake.clear()
            if not self._closing.is_set():
                self._closing.wait(self._gather_s)
            closing = self._closing.is_set()
            well = self._send_waiting()
            if closing:
                return
            if not well:
                self._closing.wait(self._pause_s)
            if self._waiting or self._closing.is_set():
                self._wake.set()

    def _send_waiting(self) -> bool:
        """Send the queue. Return False if Grafana failed; the rest then waits, unless the token is wrong."""
        items = [self._waiting.popleft() for _ in range(len(self._waiting))]
        todo: deque[_Item] = deque(joined(items))
        self._tally.sending = sum(map(_events, todo))
        while todo and not self._abandoned:
            item = todo.popleft()
            try:
                self._send(item)
                self._tally.done(_events(item))
            except Exception as error:  # any error: a watcher must not fail a trial
                _log.warning("an annotation wasn't written", exc_info=True)
                status = error.status if isinstance(error, RequestRefused) else 0
                if status == TOO_MANY_REQUESTS:  # it wasn't stored, so it can be sent again
                    todo.appendleft(item)
                self._tally.failed(0 if status == TOO_MANY_REQUESTS else _events(item), _said(error))
                if isinstance(error, WrongToken) or status == HTTPStatus.FORBIDDEN:
                    self._give_up(todo)
                    return False
                if not isinstance(error, RequestRefused) or status >= 500 or status == TOO_MANY_REQUESTS:
                    self._waiting.extendleft(reversed(todo))
                    self._tally.sending = 0
                    return False
        return True

    def _send(self, item: _Item) -> None:
        match item:
            case _Begins(region, annotation):
                self._regions[region] = self._sink.add(annotation)
            case _Ends(region, annotation):
                number = self._regions.pop(region, None)
                if number is None:
                    self._sink.add(annotation)
                else:
                    self._sink.change(number, annotation)
            case Annotation():
                self._sink.add(item)

    def _give_up(self, left: Iterable[_Item]) -> None:
        """Stop collecting events, because Grafana will never accept the token."""
        self._refused = True
        for item in (*left, *self._waiting):
            self._tally.failed(_events(item))
        self._waiting.clear()


@dataclass
class _Tally:
    written: int = 0
    dropped: int = 0
    sending: int = 0
    reason: str = ""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def done(self, events: int) -> None:
        with self._lock:
            self.written += events
            self.sending -= events

    def failed(self, events: int, reason: str = "") -> None:
        with self._lock:
            self.dropped += events
            self.sending = max(0, self.sending - events)
            self.reason = reason or self.reason

    def result(self, left: int) -> Written:
        with self._lock:
            return Written(self.written, self.dropped + self.sending + left, self.reason)


def joined(items: Sequence[_Item]) -> list[_Item]:
    """Join equal events at nearly the same time into one annotation each. Boundaries of trials stay as they are."""
    found: list[_Item] = []
    newest: dict[tuple[tuple[str, ...], str], int] = {}
    for item in items:
        if isinstance(item, Annotation):
            alike = item.tags, item.text
            place = newest.get(alike)
            before = None if place is None else found[place]
            if place is not None and isinstance(before, Annotation) and abs(item.t - before.t) <= TOGETHER_S:
                found[place] = replace(before, t=min(before.t, item.t), events=before.events + item.events)
                continue
            newest[alike] = len(found)
        found.append(item)
    return found


def _result_of(scorecard: Scorecard | None, reason: str) -> str:
    """Return the result of a trial as text: seconds, dollars, and the reason if it is invalid."""
    if reason:
        return f"failed: {reason}"
    if scorecard is None:
        return "done"
    parts = []
    if scorecard.makespan_s is not None:
        parts.append(f"makespan {scorecard.makespan_s:.0f} s")
    if scorecard.cost_usd is not None:
        parts.append(f"cost ${scorecard.cost_usd.total:.2f}")
    if not scorecard.valid:
        parts.append(f"invalid: {'; '.join(scorecard.invalid_because) or 'no reason recorded'}")
    return ", ".join(parts) or "done"


def _events(item: _Item) -> int:
    return item.events if isinstance(item, Annotation) else 1


def _said(error: Exception) -> str:
    return error.message if isinstance(error, OrchestrateError) else type(error).__name__
