"""The observer looks once at a time, emits what is new, and never fails with the cluster that it watches."""

import json
import threading
from collections import deque
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from orchestrator.logs import recording
from orchestrator.model.events import DemandEvent, Event, HostEvent, NodeEvent, NoteEvent, UsageEvent
from orchestrator.model.snapshot import Demand, NodeRow, Snapshot
from orchestrator.observer.node_tracker import NodeTraits
from orchestrator.observer.observer import MAX_SHAPES, OTHER_SHAPES, LogSources, Observer
from orchestrator.trace.tail import Tail


class Clock:
    """Time that a test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class PreparedView:
    """A cluster whose every look was prepared; an exception in its place is raised."""

    def __init__(self, *looks: Snapshot | Exception) -> None:
        self.looks = list(looks)

    def poll(self) -> Snapshot:
        look = self.looks.pop(0)
        if isinstance(look, Exception):
            raise look
        return look


def describe(node_type: str, labels: Mapping[str, str], resources: Mapping[str, float]) -> NodeTraits:
    return NodeTraits("x86_64", "", 2.0)


def row(name: str = "n1", *, used: float = 0.0, **more: Any) -> NodeRow:
    values: dict[str, Any] = {
        "instance_id": name,
        "node_type": "x86",
        "is_head": False,
        "status": "running",
        "start_time": 990.0,
        "total": {"CPU": 2.0},
        "used": {"CPU": used},
        **more,
    }
    return NodeRow(ray_node_id=f"ray-{name}", **values)


def snapshot(t: float, *rows: NodeRow, demand: int = 0, **more: Any) -> Snapshot:
    pending = (Demand({"CPU": 1.0}, demand),) if demand else ()
    return Snapshot(t=t, nodes=rows, demand=pending, **more)


def watched(*looks: Snapshot | Exception, **options: Any) -> tuple[Observer, list[Event]]:
    """An observer without a host sample, and the list that its events go to."""
    seen: list[Event] = []
    observer = Observer(PreparedView(*looks), describe, **{"host": None, "clock": Clock(), **options})
    observer.attach(seen.append)
    return observer, seen


def steps(observer: Observer, count: int) -> None:
    for _ in range(count):
        observer.step()


def notes(events: list[Event], kind: str) -> list[NoteEvent]:
    return [event for event in events if isinstance(event, NoteEvent) and event.kind == kind]


# Demand and usage


def test_demand_is_told_when_it_changes_and_only_then() -> None:
    observer, seen = watched(*(snapshot(t, demand=count) for t, count in [(1, 0), (2, 3), (3, 3), (4, 1), (5, 0)]))
    steps(observer, 5)

    assert [(e.t, e.pending, e.pending_cpus) for e in seen if isinstance(e, DemandEvent)] == [
        (1, {}, 0.0),
        (2, {"CPU=1": 3}, 3.0),
        (4, {"CPU=1": 1}, 1.0),
        (5, {}, 0.0),
    ]


def test_demand_of_one_shape_is_added_up() -> None:
    pending = (Demand({"CPU": 1.0}, 2), Demand({"Graviton": 0.5, "CPU": 2.0}, 1), Demand({"CPU": 1.0}, 3))
    observer, seen = watched(Snapshot(t=1, demand=pending))
    observer.step()
    (event,) = [event for event in seen if isinstance(event, DemandEvent)]

    assert event.pending == {"CPU=1": 5, "CPU=2,Graviton=0.5": 1}
    assert event.pending_cpus == 7.0


def test_usage_is_by_node_type_with_the_head_and_without_the_dead() -> None:
    head = row("head", is_head=True, node_type="head", used=1.0)
    gone = row("n3", status="dead")
    observer, seen = watched(snapshot(1, head, row("n1", used=1), row("n2", used=2), gone))
    observer.step()

    assert [event.cpus for event in seen if isinstance(event, UsageEvent)] == [{"head": (1.0, 2.0), "x86": (3.0, 4.0)}]


def test_usage_is_told_when_it_changes_and_only_then() -> None:
    observer, seen = watched(*(snapshot(t, row(used=used)) for t, used in [(1, 0), (2, 1), (3, 1), (4, 0)]))
    steps(observer, 4)

    assert [event.t for event in seen if isinstance(event, UsageEvent)] == [1, 2, 4]


# Gaps


def test_a_gap_is_noted_when_the_cluster_answers_again() -> None:
    silence = [ConnectionError("GCS"), ConnectionError("GCS")]
    observer, seen = watched(snapshot(1), *silence, snapshot(5.5))
    steps(observer, 4)

    assert [(note.t, note.seconds) for note in notes(seen, "observer_gap")] == [(5.5, 4.5)]
    assert observer.statistics.errors == 2


def test_a_gap_that_logs_complete_is_of_another_kind() -> None:
    observer, seen = watched(snapshot(1), snapshot(5.5), completes_gaps=True)
    steps(observer, 2)

    assert [note.seconds for note in notes(seen, "observer_gap_completed")] == [4.5]
    assert notes(seen, "observer_gap") == []


def test_that_the_gcs_is_away_is_said_at_once_and_once() -> None:
    clock = Clock()
    silence = [ConnectionError("refused")] * 3
    observer, seen = watched(snapshot(1), *silence, snapshot(2), ConnectionError("again"), clock=clock)
    steps(observer, 2)
    clock.now = 1001.0
    steps(observer, 4)

    assert [(note.t, note.text) for note in notes(seen, "gcs_unreachable")] == [
        (1000.0, "the GCS doesn't answer: refused"),
        (1001.0, "the GCS doesn't answer: again"),
    ]


def test_a_short_silence_is_no_gap() -> None:
    observer, seen = watched(snapshot(1), ConnectionError("GCS"), snapshot(4.0))
    steps(observer, 3)

    assert notes(seen, "observer_gap") == []


def test_where_looks_are_rare_a_gap_is_three_of_them() -> None:
    observer, seen = watched(snapshot(1), snapshot(7), snapshot(13.1), interval_s=2.0)
    steps(observer, 3)

    assert [note.t for note in notes(seen, "observer_gap")] == [13.1]


def test_there_is_no_gap_before_the_first_look() -> None:
    observer, seen = watched(snapshot(1e9))
    observer.step()

    assert notes(seen, "observer_gap") == []


def test_a_cluster_that_never_answers_is_counted_and_never_raised() -> None:
    observer, seen = watched(*[ConnectionError("GCS")] * 5)
    steps(observer, 5)

    assert observer.statistics.errors == 5
    assert observer.latest is None
    assert seen == []


# A new GCS


@pytest.mark.parametrize("after", [{"version": 3, "session": "a"}, {"version": 8, "session": "b"}])
def test_a_restart_of_the_gcs_is_noted(after: dict[str, Any]) -> None:
    observer, seen = watched(snapshot(1, version=7, session="a"), snapshot(2, **after))
    steps(observer, 2)

    assert [note.t for note in notes(seen, "gcs_restarted")] == [2]


def test_a_version_that_counts_on_is_no_restart() -> None:
    observer, seen = watched(*(snapshot(t, version=version) for t, version in [(1, 7), (2, 7), (3, 9)]))
    steps(observer, 3)

    assert notes(seen, "gcs_restarted") == []


# The host


def test_the_host_is_sampled_at_most_once_a_second() -> None:
    clock, seen = Clock(), list[Event]()
    looks = [snapshot(t) for t in range(6)]
    observer = Observer(PreparedView(*looks), describe, host=lambda: (50.0, 1.5, 2**30), clock=clock)
    observer.attach(seen.append)
    for now in (1000.0, 1000.5, 1000.9, 1001.0, 1001.9, 1002.0):
        clock.now = now
        observer.step()

    assert [event for event in seen if isinstance(event, HostEvent)] == [
        HostEvent(t=t, cpu_percent=50.0, load_1m=1.5, memory_available=2**30) for t in (1000.0, 1001.0, 1002.0)
    ]


def test_the_host_is_sampled_while_the_cluster_does_not_answer() -> None:
    observer, seen = watched(ConnectionError("GCS"), host=lambda: (50.0, 1.5, 2**30))
    observer.step()

    assert [type(event) for event in seen] == [HostEvent]


# Attaching


def test_a_new_trace_begins_with_the_nodes_that_there_are() -> None:
    clock = Clock()
    observer, _ = watched(snapshot(995, row("n1"), row("n2")), clock=clock)
    observer.step()
    seen: list[Event] = []
    clock.now = 1234.0
    observer.attach(seen.append)

    assert [(e.node, e.state, e.cause, e.t, e.since) for e in seen if isinstance(e, NodeEvent)] == [
        ("n1", "running", "baseline", 1234.0, 990.0),
        ("n2", "running", "baseline", 1234.0, 990.0),
    ]


def test_a_new_trace_is_told_of_demand_and_usage_that_last() -> None:
    observer, _ = watched(snapshot(1, row(), demand=3), snapshot(2, row(), demand=3))
    observer.step()
    seen: list[Event] = []
    observer.attach(seen.append)
    observer.step()

    assert [type(event) for event in seen] == [NodeEvent, DemandEvent, UsageEvent]


def test_only_the_trace_attached_last_gets_events() -> None:
    observer, before = watched(snapshot(1), snapshot(2, demand=1))
    observer.step()
    told = len(before)
    seen: list[Event] = []
    observer.attach(seen.append)
    observer.step()

    assert len(before) == told
    assert seen


def test_a_cluster_without_a_trace_is_watched_on() -> None:
    observer, seen = watched(snapshot(1), snapshot(2, row()))
    observer.step()
    told = len(seen)
    observer.detach()
    observer.step()

    assert len(seen) == told
    assert [node.node for node in observer.nodes()] == ["n1"]


def test_the_latest_look_is_kept_while_the_cluster_does_not_answer() -> None:
    observer, _ = watched(snapshot(1), ConnectionError("GCS"))
    steps(observer, 2)

    assert observer.latest == snapshot(1)


def test_a_node_is_found_by_rays_id() -> None:
    observer, _ = watched(snapshot(1, row("n1")))
    observer.step()
    found = observer.of_ray_node("ray-n1")

    assert found is not None
    assert found.node == "n1"
    assert observer.of_ray_node("ray-n2") is None


# Files beside the cluster


def test_the_journal_tells_stages_that_ray_does_not_know(tmp_path: Path) -> None:
    journal = tmp_path / "journal.jsonl"
    entries = [
        {"t": t, "event": event, "node": "n1", "node_type": "x86"} for t, event in [(1, "requested"), (2, "allocated")]
    ]
    journal.write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    observer, seen = watched(snapshot(3), logs=LogSources(journal=Tail(journal)))
    observer.step()

    assert [(event.t, event.state) for event in seen if isinstance(event, NodeEvent)] == [
        (1, "requested"),
        (2, "allocated"),
    ]


def test_the_monitors_log_tells_stages_where_there_is_no_journal(tmp_path: Path) -> None:
    log = tmp_path / "monitor.log"
    log.write_text(
        "2026-11-23 06:45:43,684\tINFO instance_manager.py:263 -- Update instance REQUESTED->ALLOCATED "
        "(id=732185c9, type=x86, cloud_instance_id=, ray_id=): allocated unassigned cloud instance n1\n"
    )
    observer, seen = watched(snapshot(3), logs=LogSources(monitor=Tail(log)))
    observer.step()

    assert [(event.node, event.state) for event in seen if isinstance(event, NodeEvent)] == [("n1", "allocated")]


def test_a_log_of_the_v1_monitor_is_named_once_since_it_adds_nothing(tmp_path: Path) -> None:
    log = tmp_path / "monitor.log"
    log.write_text("2026-11-23 06:45:43,684\tINFO autoscaler.py:469 -- StandardAutoscaler: Queue 2 new nodes\n" * 2)
    observer, seen = watched(snapshot(1), snapshot(2), logs=LogSources(monitor=Tail(log)))
    observer.step()
    observer.step()

    assert [event.kind for event in seen if isinstance(event, NoteEvent)] == ["v1_monitor_log"]


def test_files_are_read_while_the_cluster_does_not_answer(tmp_path: Path) -> None:
    journal = tmp_path / "journal.jsonl"
    journal.write_text('{"t": 1, "event": "requested", "node": "n1", "node_type": "x86"}\n')
    observer, seen = watched(ConnectionError("GCS"), logs=LogSources(journal=Tail(journal)))
    observer.step()

    assert [event.state for event in seen if isinstance(event, NodeEvent)] == ["requested"]


class Stream:
    """A log that another machine sends line by line, as over SSH."""

    def __init__(self) -> None:
        self.arrived: deque[str] = deque()

    def read(self) -> Iterator[str]:
        while self.arrived:
            yield self.arrived.popleft()


def test_logs_may_be_streams_from_another_machine() -> None:
    journal, monitor = Stream(), Stream()
    observer, seen = watched(snapshot(1), snapshot(2), logs=LogSources(journal, monitor))
    observer.step()
    journal.arrived.append('{"t": 1, "event": "requested", "node": "n1", "node_type": "x86"}')
    journal.arrived.append('{"t": 2, "event": "allocated", "node": "n1", "node_type": "x86"}')
    observer.step()

    assert [(event.t, event.state) for event in seen if isinstance(event, NodeEvent)] == [
        (1, "requested"),
        (2, "allocated"),
    ]


def test_files_that_are_missing_are_no_error(tmp_path: Path) -> None:
    observer, _ = watched(snapshot(1), logs=LogSources(Tail(tmp_path / "none"), Tail(tmp_path / "none.log")))
    observer.step()

    assert observer.nodes() == []


def test_a_line_of_the_journal_that_is_no_json_is_passed_over(tmp_path: Path) -> None:
    journal = tmp_path / "journal.jsonl"
    journal.write_text('{"t": 1, "ev\n{"t": 1, "event": "requested", "node": "n1", "node_type": "x86"}\n')
    observer, seen = watched(snapshot(1), logs=LogSources(journal=Tail(journal)))
    observer.step()

    assert [event.state for event in seen if isinstance(event, NodeEvent)] == ["requested"]


@pytest.mark.parametrize("line", ["[]", "1", "null", '{"event": "requested"}', '{"event": "requested", "node": "n1"}'])
def test_a_line_of_the_journal_that_is_no_entry_is_passed_over(tmp_path: Path, line: str) -> None:
    journal = tmp_path / "journal.jsonl"
    journal.write_text(line + "\n")
    observer, seen = watched(snapshot(1), logs=LogSources(journal=Tail(journal)))
    observer.step()

    assert [event for event in seen if isinstance(event, NodeEvent)] == []


# The thread


class CountingView:
    """A cluster that answers at once and says when it was looked at often enough."""

    def __init__(self, enough: int) -> None:
        self.count, self.enough, self.reached = 0, enough, threading.Event()

    def poll(self) -> Snapshot:
        self.count += 1
        if self.count >= self.enough:
            self.reached.set()
        return snapshot(float(self.count))


def test_a_started_observer_looks_again_and_again_until_it_is_stopped() -> None:
    view = CountingView(enough=3)
    observer = Observer(view, describe, host=None, interval_s=0.001)
    observer.start()
    reached = view.reached.wait(5)
    observer.stop()
    looks = view.count
    observer.stop()

    assert reached
    assert observer.statistics.polls == looks == view.count


def test_an_observer_that_never_started_can_be_stopped() -> None:
    observer, seen = watched()
    observer.stop()

    assert seen == []


# The log


def test_a_gcs_that_vanishes_is_one_traceback_in_the_log_and_one_note_for_the_user(tmp_path: Path) -> None:
    away = ConnectionError("failed to connect to all addresses")
    observer, seen = watched(snapshot(1000.0), away, away, away, snapshot(1001.0))
    with recording(tmp_path / "orchestrate.log"):
        steps(observer, 5)
    log = (tmp_path / "orchestrate.log").read_text()
    notes = [event.text for event in seen if isinstance(event, NoteEvent)]

    assert notes == ["the GCS doesn't answer: failed to connect to all addresses"]
    assert log.count("Traceback (most recent call last)") == 1
    assert log.count("the GCS still doesn't answer") == 2
    assert log.endswith("the GCS answers again\n")


def test_an_observer_that_raises_is_a_traceback_in_the_log_and_a_failure_for_the_trial(tmp_path: Path) -> None:
    observer, _ = watched(KeyError("state"))
    with recording(tmp_path / "orchestrate.log"):
        observer.start()
        assert observer._thread is not None
        observer._thread.join(10)
    log = (tmp_path / "orchestrate.log").read_text()

    assert isinstance(observer.failure, KeyError)
    assert "the observer stopped after an error\nTraceback (most recent call last)" in log
    assert "KeyError: 'state'" in log


def test_demand_of_endless_shapes_is_bounded() -> None:
    demand = tuple(Demand({f"custom{number}": 1.0}, 1) for number in range(MAX_SHAPES + 20))
    observer, seen = watched(Snapshot(t=1000.0, demand=(*demand, Demand({"CPU": 1.0}, 5))))
    steps(observer, 1)

    [event] = [event for event in seen if isinstance(event, DemandEvent)]
    assert event.pending["CPU=1"] == 5
    assert (len(event.pending), event.pending[OTHER_SHAPES]) == (MAX_SHAPES + 1, 21)
