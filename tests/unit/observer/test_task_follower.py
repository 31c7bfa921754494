"""The follower records each task, actor and placement group once, and counts what it couldn't see."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from orchestrator.model.events import Event, NoteEvent, PlacementGroupEvent, TaskEvent
from orchestrator.observer import task_follower
from orchestrator.observer.observer import MAX_SHAPES, OTHER_SHAPES
from orchestrator.observer.task_follower import TaskFollower
from orchestrator.rayapi.job_records import Run
from orchestrator.rayapi.task_feed import Actor, Attempt, Group, Page, Tally

BEGIN = 100.0


def run(started: float, ended: float, *, cpus: float = 1.0, **more: Any) -> Run:
    values: dict[str, Any] = {"resources": {"CPU": cpus}, "submitted": started - 1, **more}
    return Run("f", "node", cpus, started=started, ended=ended, ok=True, **values)


def finished(number: int, started: float, ended: float, **more: Any) -> Attempt:
    one = run(started, ended, **more)
    return Attempt(b"%d" % number, "task", one.submitted, one.ended, one)


@dataclass
class PreparedFeed:
    """A GCS with these records; the newest finished attempt is the last. It keeps `kept` of them."""

    attempts: list[Attempt] = field(default_factory=list)
    failures: list[Attempt] = field(default_factory=list)
    running: tuple[Run, ...] = ()
    waiting: int = 0
    actors: list[Actor] = field(default_factory=list)
    pgs: list[Group] = field(default_factory=list)
    kept: int = 10**9
    away: bool = False
    asked: list[int] = field(default_factory=list)

    def newest(self, limit: int) -> Page:
        if self.away:
            raise ConnectionError("away")
        self.asked.append(limit)
        there = self.attempts[::-1][: self.kept]
        return Page(tuple(there[:limit]), max(0, len(there) - limit))

    def failed(self, limit: int) -> Page:
        return Page(tuple(self.failures[:limit]), 0)

    def unfinished(self, limit: int, now: float) -> tuple[tuple[Run, ...], int]:
        return tuple(replace(each, ended=now) for each in self.running), self.waiting

    def tally(self) -> Tally:
        open_ = len(self.running) + self.waiting + len(self.failures)
        return Tally(len(self.attempts) + open_, open_)

    def living_actors(self, now: float) -> tuple[Actor, ...]:
        return tuple(actor for actor in self.actors if actor.alive)

    def actor(self, key: bytes, now: float) -> Actor | None:
        return next((actor for actor in self.actors if actor.key == key), None)

    def groups(self) -> tuple[Group, ...]:
        return tuple(self.pgs)


def following(feed: PreparedFeed, *, now: float = 200.0) -> tuple[TaskFollower, list[Event]]:
    events: list[Event] = []
    return TaskFollower(feed, lambda node: None, events.append, begin=BEGIN, clock=lambda: now), events


def tasks(events: Sequence[Event]) -> list[TaskEvent]:
    return [event for event in events if isinstance(event, TaskEvent)]


def test_each_task_is_recorded_once_with_what_it_asks_for() -> None:
    feed = PreparedFeed([finished(1, 110, 120, ready=109.5)])
    follower, events = following(feed)
    follower.step()
    feed.attempts.append(finished(2, 120, 130))
    follower.step()

    assert [(event.started, event.ended) for event in tasks(events)] == [(110, 120), (120, 130)]
    assert (tasks(events)[0].model_extra or {})["resources"] == {"CPU": 1.0}
    assert (tasks(events)[0].model_extra or {})["ready"] == 109.5


def test_what_ended_before_the_begin_is_left_out_and_what_began_before_it_is_cut() -> None:
    follower, events = following(PreparedFeed([finished(1, 80, 90), finished(2, 95, 105)]))
    follower.step()

    [event] = tasks(events)
    assert (event.submitted, event.started, event.ended) == (BEGIN, BEGIN, 105)
    assert (event.model_extra or {})["earlier"] is True


def test_a_page_grows_until_it_reaches_a_known_task() -> None:
    feed = PreparedFeed([finished(0, 101, 102)])
    follower, events = following(feed)
    follower.step()
    feed.attempts += [finished(number, 102, 103) for number in range(1, 3001)]
    follower.step()

    assert len(tasks(events)) == 3001
    assert feed.asked == [1_000, 1_000, 4_000]


def test_tasks_that_the_gcs_has_dropped_unseen_are_counted() -> None:
    feed = PreparedFeed([finished(0, 101, 102)], kept=10)
    follower, events = following(feed)
    follower.step()
    feed.attempts += [finished(number, 102, 103) for number in range(1, 31)]
    follower.finish()

    assert follower.found.missing == 20
    [note] = [event for event in events if isinstance(event, NoteEvent)]
    assert note.kind == "records_incomplete"
    assert note.text.startswith("Ray kept no complete record of 20 of 31 tasks and actors")


def test_nothing_is_missing_where_all_was_seen() -> None:
    feed = PreparedFeed([finished(0, 90, 95)], running=(run(96, 0),), waiting=2)
    follower, events = following(feed)
    follower.step()
    feed.running, feed.waiting = (), 0
    feed.attempts += [finished(number, 102, 103) for number in range(1, 4)]
    feed.failures.append(replace(finished(9, 102, 104), run=replace(run(102, 104), ok=False)))
    follower.finish()

    assert follower.found.missing == 0
    assert (follower.found.tasks, follower.found.failed) == (4, 1)
    assert not [event for event in events if isinstance(event, NoteEvent)]


def test_what_still_runs_at_the_end_is_recorded_up_to_then() -> None:
    follower, events = following(PreparedFeed(running=(run(150, 0),), waiting=3), now=200.0)
    follower.finish()

    [event] = tasks(events)
    assert (event.started, event.ended) == (150, 200)
    assert (event.model_extra or {})["unfinished"] is True
    assert (follower.found.unfinished, follower.found.waiting) == (1, 3)


def test_an_actor_is_recorded_when_it_has_ended_from_its_creation_on() -> None:
    life = replace(run(112, 200, submitted=112.0), is_actor=True)
    created = Attempt(b"c", "actor", submitted=110.0, ended=112.0, actor=b"a")
    feed = PreparedFeed([created], actors=[Actor(b"a", life, alive=True)])
    follower, events = following(feed)
    follower.step()
    assert not tasks(events)

    feed.actors = [Actor(b"a", replace(life, ended=150.0), alive=False)]
    follower.step()
    follower.step()

    [event] = tasks(events)
    assert (event.submitted, event.started, event.ended) == (110.0, 112, 150)
    assert (follower.found.actors, follower.found.tasks) == (1, 0)


def test_an_actor_that_came_and_went_between_two_looks_is_recorded() -> None:
    life = replace(run(112, 113, submitted=112.0), is_actor=True)
    created = Attempt(b"c", "actor", submitted=110.0, ended=112.0, actor=b"a")
    follower, events = following(PreparedFeed([created], actors=[Actor(b"a", life, alive=False)]))
    follower.step()

    assert [(event.submitted, event.ended) for event in tasks(events)] == [(110.0, 113)]


def test_calls_of_actors_are_counted_only() -> None:
    call = Attempt(b"m", "call", submitted=110.0, ended=112.0)
    follower, events = following(PreparedFeed([call]))
    follower.step()

    assert (follower.found.calls, tasks(events)) == (1, [])


def test_a_placement_group_is_recorded_when_it_is_removed() -> None:
    group = Group("g", "STRICT_PACK", ({"CPU": 2.0},), submitted=110.0, placed=111.0, removed=False)
    feed = PreparedFeed(pgs=[group])
    follower, events = following(feed)
    follower.step()
    feed.pgs = [replace(group, removed=True)]
    follower.step()
    follower.step()

    [event] = events
    assert isinstance(event, PlacementGroupEvent)
    assert (event.strategy, event.bundles, event.submitted, event.placed) == ("STRICT_PACK", ({"CPU": 2.0},), 110, 111)
    assert follower.found.groups == 1


def test_a_gcs_that_is_away_for_a_while_costs_nothing() -> None:
    feed = PreparedFeed([finished(1, 110, 120)], away=True)
    follower, events = following(feed)
    follower.step()
    feed.away = False
    follower.step()

    assert len(tasks(events)) == 1


def test_shapes_beyond_the_most_count_together() -> None:
    feed = PreparedFeed([finished(number, 110, 120, cpus=number + 1.0) for number in range(MAX_SHAPES + 7)])
    follower, _ = following(feed)
    follower.step()

    assert len(follower.found.shapes) == MAX_SHAPES + 1
    assert follower.found.shapes[OTHER_SHAPES] == 7


def test_the_memory_of_seen_tasks_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(task_follower, "_REMEMBERED", 5)
    feed = PreparedFeed([finished(number, 110, 120) for number in range(20)])
    follower, _ = following(feed)
    follower.step()

    assert len(follower._seen) == 5
