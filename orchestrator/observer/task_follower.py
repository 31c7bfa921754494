"""A follower of a cluster's tasks, actors and placement groups: each becomes an event of a trace when it has ended."""

import logging
import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Protocol

from orchestrator.model.events import Emit, NoteEvent
from orchestrator.model.snapshot import Demand
from orchestrator.observer.node_tracker import TrackedNode
from orchestrator.observer.observer import MAX_SHAPES, OTHER_SHAPES
from orchestrator.observer.task_events import details_of, group_event, missing_note, task_event
from orchestrator.rayapi.job_records import Run
from orchestrator.rayapi.task_feed import Actor, Attempt, Group, Page, Tally

_log = logging.getLogger(__name__)

INTERVAL_S = 2.0
# The GCS copies all of its records for each answer. So the calls may take this share of the time at most.
_SHARE_OF_TIME = 0.05
_FIRST_LIMIT = 1_000
_LARGEST_LIMIT = 20_000
# More than the GCS keeps by default, so that nothing comes twice.
_REMEMBERED = 150_000
# Processes send their events once a second.
_LATE_S = 5.0
_SETTLE_S = 1.5


class Feed(Protocol):
    """Ray's records; `orchestrator.rayapi.task_feed.TaskFeed` reads them from the GCS."""

    def newest(self, limit: int) -> Page:
        """Return the attempts that finished last, newest first."""
        ...

    def failed(self, limit: int) -> Page:
        """Return attempts that failed."""
        ...

    def unfinished(self, limit: int, now: float) -> tuple[tuple[Run, ...], int]:
        """Return the tasks that run, as if they ended `now`, and the number of tasks that wait."""
        ...

    def tally(self) -> Tally:
        """Return how many attempts there are."""
        ...

    def living_actors(self, now: float) -> tuple[Actor, ...]:
        """Return the actors that live."""
        ...

    def actor(self, key: bytes, now: float) -> Actor | None:
        """Return one actor."""
        ...

    def groups(self) -> tuple[Group, ...]:
        """Return all placement groups."""
        ...


@dataclass
class Followed:
    """The numbers of an observation: what it recorded, and what it couldn't.

    `shapes` counts tasks and actors by shape. `unfinished` of them still ran at the end, and `waiting` tasks still
    waited, which aren't recorded. `calls` of actors' methods wait for no node. `missing` are attempts of which Ray kept
    no complete record, or dropped it before it was read.
    """

    tasks: int = 0
    failed: int = 0
    actors: int = 0
    groups: int = 0
    calls: int = 0
    unfinished: int = 0
    waiting: int = 0
    missing: int = 0
    shapes: Counter[str] = field(default_factory=Counter)


class TaskFollower:
    """A thread that reads a feed again and again, and passes what has ended since `begin` to `emit`.

    Times before `begin` are set to it. `node_of` finds a node by its id in Ray.
    """

    def __init__(
        self,
        feed: Feed,
        node_of: Callable[[str], TrackedNode | None],
        emit: Emit,
        *,
        begin: float,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.found = Followed()
        self.failure: Exception | None = None
        self._feed = feed
        self._node_of = node_of
        self._emit = emit
        self._begin = begin
        self._clock = clock
        self._seen: OrderedDict[bytes, None] = OrderedDict()
        self._limit = _FIRST_LIMIT
        self._first: Tally | None = None
        self._finished = 0
        self._created: dict[bytes, float] = {}
        self._living: dict[bytes, Actor] = {}
        self._groups: dict[str, Group] = {}
        self._gone: set[str] = set()
        self._unreachable = False
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    # The loop

    def start(self) -> None:
        """Follow in a thread until `stop`."""
        self._thread = threading.Thread(target=self._run, name="orchestrate-tasks", daemon=True)
        self._thread.start()

    def stop(self) -> Followed:
        """Stop the thread, record what still runs, note what is missing, and return the numbers."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(timeout=90)
            if self.failure is None:
                time.sleep(_SETTLE_S)
        self.finish()
        return self.found

    def _run(self) -> None:
        while not self._stopping.is_set():
            began = time.monotonic()
            try:
                self.step()
            except Exception as error:
                _log.exception("the follower of tasks stopped after an error")
                self.failure = error
                text = f"no tasks were recorded from now on, after an error: {type(error).__name__}"
                self._emit(NoteEvent(t=self._clock(), kind="records_incomplete", text=text))
                return
            took = time.monotonic() - began
            self._stopping.wait(max(INTERVAL_S, took / _SHARE_OF_TIME))

    def step(self) -> None:
        """Read once, and emit what is new. If the GCS doesn't answer, log it and never raise."""
        try:
            self._read()
            self._unreachable = False
        except ConnectionError:
            _log.log(logging.DEBUG if self._unreachable else logging.WARNING, "no records of tasks", exc_info=True)
            self._unreachable = True

    def finish(self) -> None:
        """Record what still runs, and note what is missing."""
        now = self._clock()
        if self.failure is None:
            self.step()
            try:
                runs, self.found.waiting = self._feed.unfinished(_LARGEST_LIMIT, now)
                self.found.missing = self._missing()
            except ConnectionError:
                _log.warning("no records of the tasks that still run", exc_info=True)
                runs = ()
            for run in (*runs, *(replace(actor.run, ended=now) for actor in self._living.values())):
                self._record(run, unfinished=True)
            for group in self._groups.values():
                self.found.groups += 1
                self._emit(group_event(group, self._begin, now, unfinished=True))
        if self.found.missing:
            known = self.found.tasks + self.found.actors
            self._emit(missing_note(now, known, self.found.missing))

    # Records

    def _read(self) -> None:
        finished = self._take(self._newest())
        if self._first is None:
            self._first = self._feed.tally()
        else:
            self._finished += finished
        self._take(self._fresh(self._feed.failed(_LARGEST_LIMIT)))
        self._read_actors()
        self._read_groups()

    def _newest(self) -> list[Attempt]:
        """Return the attempts that finished since the last call, and grow the page until it reaches known ones."""
        while True:
            page = self._feed.newest(self._limit)
            known = any(attempt.key in self._seen for attempt in page.attempts)
            oldest = min((attempt.ended for attempt in page.attempts), default=self._begin)
            if known or not page.left_out or oldest < self._begin or self._limit >= _LARGEST_LIMIT:
                return self._fresh(page)
            self._limit = min(4 * self._limit, _LARGEST_LIMIT)

    def _fresh(self, page: Page) -> list[Attempt]:
        fresh = [attempt for attempt in page.attempts if attempt.key not in self._seen]
        for attempt in fresh:
            self._seen[attempt.key] = None
        while len(self._seen) > _REMEMBERED:
            self._seen.popitem(last=False)
        return fresh

    def _take(self, attempts: Iterable[Attempt]) -> int:
        """Record the attempts that ended after the begin, and return their number, late ones before it included."""
        count = 0
        for attempt in attempts:
            count += attempt.ended >= self._begin - _LATE_S
            if attempt.ended < self._begin:
                continue
            if attempt.kind == "call":
                self.found.calls += 1
            elif attempt.kind == "actor":
                self._created[attempt.actor] = attempt.submitted
            elif attempt.run is not None:
                self._record(attempt.run)
        return count

    def _record(self, run: Run, *, unfinished: bool = False) -> None:
        found, begin = self.found, self._begin
        if run.is_actor:
            found.actors += 1
        else:
            found.tasks += 1
            found.failed += not run.ok
        found.unfinished += unfinished
        shape = Demand(run.resources, 1).shape or "nothing"
        found.shapes[shape if shape in found.shapes or len(found.shapes) < MAX_SHAPES else OTHER_SHAPES] += 1
        details = details_of(run)
        if run.started < begin:
            details["earlier"] = True
        if unfinished:
            details["unfinished"] = True
        if run.ready is not None:
            details["ready"] = max(begin, run.ready)
        since = replace(
            run,
            submitted=max(begin, run.submitted),
            started=max(begin, run.started),
            ended=max(begin, run.ended),
        )
        self._emit(task_event(since, self._node_of(run.node), details))

    def _read_actors(self) -> None:
        now = self._clock()
        living = {actor.key: actor for actor in self._feed.living_actors(now)}
        for key in (self._living.keys() | self._created.keys()) - living.keys():
            before, found = self._living.get(key), self._feed.actor(key, now)
            if before is None and found is not None and found.alive:
                continue  # it has started since
            last = found or before
            created = self._created.pop(key, None) if before is None else before.run.submitted
            self._living.pop(key, None)
            if last is not None and last.run.ended >= self._begin:
                self._record(_created_at(last.run, created))
        for key, actor in living.items():
            if key not in self._living:
                self._living[key] = replace(actor, run=_created_at(actor.run, self._created.pop(key, None)))

    def _read_groups(self) -> None:
        now = self._clock()
        groups = {group.key: group for group in self._feed.groups()}
        self._gone &= groups.keys()
        for key, group in groups.items():
            if not group.removed:
                self._groups[key] = group
            elif key in self._groups or (group.submitted >= self._begin and key not in self._gone):
                self._end(group, now)
        for key in self._groups.keys() - groups.keys():
            self._end(self._groups[key], now)

    def _end(self, group: Group, now: float) -> None:
        self._groups.pop(group.key, None)
        self._gone.add(group.key)
        self.found.groups += 1
        self._emit(group_event(group, self._begin, now))

    def _missing(self) -> int:
        """Return the number of attempts that ended unseen: those that began, without those that are known.

        The tally is older than what is read after it, so the result is never too large.
        """
        if self._first is None:
            return 0
        tally = self._feed.tally()
        self._finished += self._take(self._newest())
        began = tally.known - self._first.known
        return max(0, self._first.unfinished + began - self._finished - tally.unfinished)


def _created_at(run: Run, created: float | None) -> Run:
    return run if created is None else replace(run, submitted=min(run.started, created))


def shapes_text(shapes: Iterable[tuple[str, int]]) -> str:
    """Return counts by shape, such as `120 x CPU=1, 3 x CPU=1,GPU=1`."""
    return ", ".join(f"{count} x {shape}" for shape, count in shapes)
