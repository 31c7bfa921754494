"""One life from several sources: each state once, with its true time, whatever comes first or late."""

import random
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.model.events import FINAL_STATES, NodeEvent, NodeState
from orchestrator.model.snapshot import DeathReason, Demand, NodeRow, NodeStatus, Snapshot
from orchestrator.observer.monitorlog import InstanceTransition, parse_line
from orchestrator.observer.node_tracker import NodeTracker, NodeTraits

Fact = tuple[float, str, str | None]


def describe(node_type: str, labels: Mapping[str, str], resources: Mapping[str, float]) -> NodeTraits:
    return NodeTraits("arm64" if node_type == "arm" else "x86_64", "m7i.2xlarge", 2.0)


@pytest.fixture
def journaled() -> NodeTracker:
    """A tracker of a backend that keeps a journal."""
    return NodeTracker(describe, provider_journal=True)


@pytest.fixture
def tracker() -> NodeTracker:
    """A tracker of a foreign cluster, such as one on EC2."""
    return NodeTracker(describe)


def row(status: NodeStatus = "running", *, name: str = "n1", start: float = 10.0, **more: Any) -> NodeRow:
    values: dict[str, Any] = {"instance_id": name, "is_head": False, "total": {"CPU": 2.0}, **more}
    return NodeRow(ray_node_id=f"ray-{name}", node_type="x86", status=status, start_time=start, **values)


def dead(reason: DeathReason, *, end: float | None = 50.0, **more: Any) -> NodeRow:
    return row("dead", end_time=end, death_reason=reason, **more)


def entry(t: float, event: str, *, name: str = "n1", **more: Any) -> dict[str, Any]:
    return {"t": t, "event": event, "node": name, "node_type": "x86", **more}


def line(t: float, state: NodeState, *, cloud: str = "", instance: str = "i1", detail: str = "") -> InstanceTransition:
    return InstanceTransition(t, instance, cloud, "x86", state, detail, t=t)


def facts(events: Iterable[NodeEvent]) -> list[Fact]:
    """Time, state and previous state of each event."""
    return [(event.t, event.state, event.previous) for event in events]


def looked(tracker: NodeTracker, t: float, *rows: NodeRow, demand: int = 0) -> list[NodeEvent]:
    pending = (Demand({"CPU": 1.0}, demand),) if demand else ()
    return list(tracker.observe_snapshot(Snapshot(t=t, nodes=rows, demand=pending)))


def feed(tracker: NodeTracker, *told: Any) -> list[Any]:
    """The events that follow from journal entries, log lines, and (time, row) pairs of the GCS."""
    events: list[Any] = []
    for fact in told:
        if isinstance(fact, dict):
            events += tracker.observe_journal(fact)
        elif isinstance(fact, InstanceTransition):
            events += tracker.observe_log(fact)
        else:
            events += looked(tracker, fact[0], fact[1])
    return events


def test_a_throttled_autoscaler_is_noted(journaled: NodeTracker) -> None:
    (note,) = feed(journaled, {"t": 5.0, "event": "throttled", "detail": "RequestLimitExceeded"})

    assert (note.t, note.kind) == (5.0, "autoscaler_throttled")
    assert "RequestLimitExceeded" in note.text


# Whole lives


def test_a_life_with_a_journal_is_told_whole(journaled: NodeTracker) -> None:
    events = feed(
        journaled,
        entry(1.0, "requested"),
        entry(1.5, "allocated"),
        entry(5.5, "installing"),
        (10.4, row("idle", start=10.0, idle_s=0.4)),
        (11.0, row("running")),
        entry(10.2, "started"),
        (31.0, row("idle", idle_s=0.7)),
        line(45.0, "draining", cloud="n1", detail="draining ray: idle for 15.9 secs > timeout=15.0 secs"),
        (46.0, dead("idle", end=45.5)),
        entry(45.6, "ray_ended", code=0),
        entry(50.0, "terminating"),
        entry(50.3, "terminated"),
    )

    assert facts(events) == [
        (1.0, "requested", None),
        (1.5, "allocated", "requested"),
        (5.5, "installing", "allocated"),
        (10.0, "running", "installing"),
        (10.0, "idle", "running"),
        (11.0, "running", "idle"),
        (30.3, "idle", "running"),
        (45.0, "draining", "idle"),
        (50.3, "terminated", "draining"),
    ]


def test_a_life_without_a_journal_is_told_from_the_monitors_log(tracker: NodeTracker) -> None:
    events = feed(
        tracker,
        line(1.0, "requested"),
        line(6.0, "allocated", cloud="n1"),
        line(8.0, "installing", cloud="n1"),
        (10.5, row(start=10.0)),
        (31.0, row("idle", idle_s=1.0)),
        line(45.0, "draining", cloud="n1", detail="draining ray: idle for 15.9 secs"),
        (50.5, dead("idle", end=50.0)),
        line(55.0, "terminated", cloud="n1"),
    )

    assert facts(events) == [
        (1.0, "requested", None),
        (6.0, "allocated", "requested"),
        (8.0, "installing", "allocated"),
        (10.0, "running", "installing"),
        (30.0, "idle", "running"),
        (45.0, "draining", "idle"),
        (50.0, "terminated", "draining"),
    ]
    assert {event.node for event in events} == {"n1"}


def test_a_life_of_which_only_ray_knows_begins_when_it_joins(tracker: NodeTracker) -> None:
    events = feed(tracker, (12.0, row(start=10.0)), (51.0, dead("expected", end=50.0)))

    assert facts(events) == [(10.0, "running", None), (50.0, "terminated", "running")]


def test_every_event_says_what_the_node_is(tracker: NodeTracker) -> None:
    (event,) = looked(tracker, 12.0, row(total={"CPU": 8.0}))

    assert event.model_dump(exclude={"t", "state", "previous"}) == {
        "type": "node",
        "node": "n1",
        "node_type": "x86",
        "arch": "x86_64",
        "instance_type": "m7i.2xlarge",
        "cpus": 8.0,
        "is_head": False,
        "cause": "",
        "detail": "",
        "ray_node_id": "ray-n1",
        "since": None,
    }


def test_before_a_node_joins_its_cpus_are_those_of_its_type(journaled: NodeTracker) -> None:
    (event,) = feed(journaled, entry(1.0, "requested"))

    assert event.cpus == 2.0


def test_a_node_without_a_cloud_id_goes_by_rays(tracker: NodeTracker) -> None:
    (event,) = looked(tracker, 12.0, row(instance_id=""))

    assert event.node == "ray-n1"


def test_the_head_is_known_as_the_head(tracker: NodeTracker) -> None:
    (event,) = looked(tracker, 12.0, row(is_head=True))

    assert event.is_head


# Stages from the log


def test_what_an_instance_did_before_it_had_a_cloud_id_is_held_back(tracker: NodeTracker) -> None:
    held = feed(tracker, line(1.0, "requested"))
    told = feed(tracker, line(6.0, "allocated", cloud="n1"))

    assert held == []
    assert facts(told) == [(1.0, "requested", None), (6.0, "allocated", "requested")]


def test_instances_that_launch_together_are_told_apart(tracker: NodeTracker) -> None:
    events = feed(
        tracker,
        line(1.0, "requested", instance="i1"),
        line(1.1, "requested", instance="i2"),
        line(6.0, "allocated", instance="i2", cloud="n2"),
        line(6.1, "allocated", instance="i1", cloud="n1"),
    )

    assert [(event.node, event.t) for event in events] == [("n2", 1.1), ("n2", 6.0), ("n1", 1.0), ("n1", 6.1)]


def test_where_a_journal_tells_of_the_machine_the_log_only_says_why_it_drains(journaled: NodeTracker) -> None:
    events = feed(
        journaled,
        line(1.0, "requested"),
        line(6.0, "allocated", cloud="n1"),
        line(45.0, "draining", cloud="n1", detail="idle for 15 secs"),
        line(50.0, "terminated", cloud="n1"),
    )

    assert facts(events) == [(45.0, "draining", None)]


@pytest.mark.parametrize(
    ("detail", "cause"),
    [
        ("draining ray: idle for 15.908 secs > timeout=15.0 secs", "idle"),
        (
            "draining ray: Terminating node due to MAX_NUM_NODES: max_num_nodes=3, max_num_nodes_per_type=None",
            "max_workers",
        ),
        ("draining ray: node from x86 has outdated config", "outdated"),
        ("draining ray: preempted by the cloud", "preempted"),
        ("draining ray: pending and not needed for 3.0 secs", "scale_down"),
        ("", "scale_down"),
    ],
)
def test_the_log_says_why_a_node_drains(tracker: NodeTracker, detail: str, cause: str) -> None:
    (event,) = feed(tracker, line(45.0, "draining", cloud="n1", detail=detail))

    assert event.cause == cause


def test_a_launch_that_the_cloud_refused_is_told_under_the_instances_id(tracker: NodeTracker) -> None:
    events = feed(tracker, line(1.0, "requested"), line(4.0, "failed", detail="InsufficientInstanceCapacity"))

    assert facts(events) == [(1.0, "requested", None), (4.0, "failed", "requested")]
    assert [(event.node, event.cause, event.detail) for event in events][-1] == (
        "i1",
        "launch",
        "InsufficientInstanceCapacity",
    )


def test_an_installation_that_failed_ends_the_node(tracker: NodeTracker) -> None:
    events = feed(tracker, line(6.0, "allocated", cloud="n1"), line(9.0, "failed", cloud="n1"))

    assert facts(events) == [(6.0, "allocated", None), (9.0, "failed", "allocated")]


def test_a_request_that_is_repeated_counts_from_the_first(tracker: NodeTracker) -> None:
    events = feed(tracker, line(1.0, "requested"), line(60.0, "requested"), line(66.0, "allocated", cloud="n1"))

    assert facts(events) == [(1.0, "requested", None), (66.0, "allocated", "requested")]


# Journal


def test_a_launch_for_pending_tasks_is_caused_by_demand(journaled: NodeTracker) -> None:
    looked(journaled, 1.0, demand=3)
    (event,) = feed(journaled, entry(2.0, "requested"))

    assert event.cause == "demand"


def test_a_launch_without_pending_tasks_fills_up_min_workers(journaled: NodeTracker) -> None:
    looked(journaled, 1.0, demand=3)
    looked(journaled, 2.0)
    (event,) = feed(journaled, entry(3.0, "requested"))

    assert event.cause == "min_workers"


def test_a_start_that_failed_says_why(journaled: NodeTracker) -> None:
    events = feed(journaled, entry(1.0, "requested"), entry(9.0, "failed", detail="timed out during startup"))

    assert facts(events) == [(1.0, "requested", None), (9.0, "failed", "requested")]
    assert (events[-1].cause, events[-1].detail) == ("launch", "timed out during startup")


@pytest.mark.parametrize("code", [1, -9])
def test_a_ray_that_ended_badly_is_a_crash_before_the_gcs_notices(journaled: NodeTracker, code: int) -> None:
    events = feed(journaled, (12.0, row()), entry(50.0, "ray_ended", code=code), (65.0, dead("unexpected", end=64.0)))

    assert facts(events)[1:] == [(50.0, "failed", "running")]
    assert events[-1].cause == "crash"


@pytest.mark.parametrize("cause", ["fault", "spot_interruption"])
def test_a_machine_that_the_cloud_took_back_has_the_clouds_cause_and_is_ended(
    journaled: NodeTracker, cause: str
) -> None:
    taken = entry(50.0, "failed", cause=cause, detail="the cloud took the machine back")
    events = feed(journaled, (12.0, row()), taken, entry(50.4, "terminated"), (65.0, dead("unexpected", end=64.0)))

    assert facts(events)[1:] == [(50.0, "failed", "running"), (50.4, "terminated", "failed")]
    assert (events[1].cause, events[1].detail) == (cause, "the cloud took the machine back")


def test_a_machine_that_the_cloud_took_back_before_ray_ran_has_failed_once(journaled: NodeTracker) -> None:
    taken = entry(3.0, "failed", cause="spot_interruption")
    events = feed(journaled, entry(1.0, "requested"), entry(1.5, "allocated"), taken, entry(3.1, "terminated"))

    assert [event.state for event in events] == ["requested", "allocated", "failed"]
    assert events[-1].cause == "spot_interruption"


def test_a_ray_that_was_draining_has_not_crashed_whatever_its_exit_code(journaled: NodeTracker) -> None:
    log = line(45.0, "draining", cloud="n1", detail="idle for 15 secs")
    events = feed(journaled, (12.0, row()), log, entry(50.0, "ray_ended", code=1), entry(51.0, "terminated"))

    assert facts(events)[-1] == (51.0, "terminated", "draining")


@pytest.mark.parametrize("event", ["settings", "started", "ray_ended", "something new", ""])
def test_other_entries_of_the_journal_are_no_states(journaled: NodeTracker, event: str) -> None:
    assert feed(journaled, entry(1.0, event, code=0)) == []
    assert journaled.nodes() == []


def test_a_long_detail_is_cut(journaled: NodeTracker) -> None:
    (event,) = feed(journaled, entry(1.0, "failed", detail="x" * 10_000))

    assert event.detail == "x" * 500


# The monitor's log: zones, refusals, timeouts

NOON = datetime(2026, 11, 29, 12, tzinfo=UTC).timestamp()


def logged(t: float, change: str, zone: str, *, cloud: str = "", detail: str = "") -> InstanceTransition:
    """A line as the monitor writes it at `t` UNIX seconds, in the zone that its machine has."""
    when = datetime.fromtimestamp(t, ZoneInfo(zone)).strftime("%Y-%m-%d %H:%M:%S,%f")[:-3]
    head = f"{when}\tINFO instance_manager.py:263 -- Update instance {change} "
    found = parse_line(f"{head}(id=im-1, type=x86, cloud_instance_id={cloud}, ray_id=): {detail}")
    assert found is not None
    return found


@pytest.mark.parametrize("zone", ["UTC", "America/Los_Angeles", "Asia/Kolkata", "Asia/Kathmandu", "Pacific/Chatham"])
def test_a_drain_has_its_true_time_in_whatever_zone_the_monitor_logs(journaled: NodeTracker, zone: str) -> None:
    events = feed(
        journaled,
        entry(NOON + 1, "requested"),
        logged(NOON + 1, "QUEUED->REQUESTED", zone, detail="requested to launch"),
        entry(NOON + 4, "allocated"),
        logged(NOON + 6, "REQUESTED->ALLOCATED", zone, detail="allocated unassigned cloud instance n1"),
        (NOON + 31, row("running", start=NOON + 30)),
        (NOON + 131, row("idle", start=NOON + 30, idle_s=0.5)),
        logged(NOON + 431.2, "RAY_RUNNING->RAY_STOP_REQUESTED", zone, cloud="n1", detail="draining ray: idle"),
    )

    assert (events[-1].state, round(events[-1].t - NOON, 1)) == ("draining", 431.2)


@pytest.mark.parametrize("zone", ["UTC", "America/Los_Angeles", "Asia/Kolkata"])
def test_an_old_log_that_is_read_at_once_has_its_true_times(tracker: NodeTracker, zone: str) -> None:
    hours = 3600.0
    looked(tracker, NOON)
    old = logged(NOON - 5 * hours, "QUEUED->REQUESTED", zone)
    fresh = logged(NOON - 2, "REQUESTED->ALLOCATED", zone, detail="allocated unassigned cloud instance n1")

    assert [event.t for event in tracker.observe_log(old, fresh)] == [NOON - 5 * hours, NOON - 2]


def test_the_time_that_kubectl_puts_in_front_of_a_line_counts() -> None:
    stamped = parse_line(
        "2026-11-29T12:00:00.250123456Z 2026-11-29 04:00:00,250\tINFO instance_manager.py:263 -- Update instance "
        "QUEUED->REQUESTED (id=a, type=x86, cloud_instance_id=, ray_id=): requested"
    )

    assert stamped is not None
    assert stamped.t == pytest.approx(NOON + 0.250123)


def test_a_machine_on_which_ray_never_ran_has_failed_to_launch_and_ends(tracker: NodeTracker) -> None:
    events = feed(
        tracker,
        logged(NOON, "QUEUED->REQUESTED", "UTC"),
        logged(NOON + 5, "REQUESTED->ALLOCATED", "UTC", detail="allocated unassigned cloud instance n1"),
        logged(NOON + 3605, "ALLOCATED->ALLOCATION_TIMEOUT", "UTC", cloud="n1", detail="timeout=3600s"),
        logged(NOON + 3630, "TERMINATING->TERMINATED", "UTC", cloud="n1"),
    )

    assert [event.state for event in events] == ["requested", "allocated", "failed", "terminated"]
    assert events[2].cause == "launch"


def test_a_launch_that_the_cloud_refuses_is_counted_once(journaled: NodeTracker) -> None:
    events = feed(
        journaled,
        entry(NOON, "requested"),
        entry(NOON + 1, "failed", detail="no capacity"),
        logged(NOON, "QUEUED->REQUESTED", "UTC"),
        logged(NOON + 1, "REQUESTED->ALLOCATION_FAILED", "UTC", detail="launch failed"),
    )

    assert [event.state for event in events] == ["requested", "failed"]


# Deaths


@pytest.mark.parametrize(
    ("reason", "state", "cause"),
    [
        ("idle", "terminated", "idle"),
        ("expected", "terminated", "scale_down"),
        ("preempted", "terminated", "preempted"),
        ("unexpected", "failed", "crash"),
        ("unspecified", "failed", "crash"),
    ],
)
def test_why_ray_died_says_whether_the_node_failed(
    tracker: NodeTracker, reason: DeathReason, state: str, cause: str
) -> None:
    *_, event = feed(tracker, (12.0, row()), (51.0, dead(reason, end=50.0, death_message="so it is")))

    assert (event.t, event.state, event.cause, event.detail) == (50.0, state, cause, "so it is")


@pytest.mark.parametrize(
    ("reason", "cause"), [("idle", "idle"), ("expected", "scale_down"), ("preempted", "preempted")]
)
def test_where_there_is_a_journal_the_machine_lives_on_after_its_ray(
    journaled: NodeTracker, reason: DeathReason, cause: str
) -> None:
    events = feed(journaled, (12.0, row()), (51.0, dead(reason)), entry(55.0, "terminating"), entry(56.0, "terminated"))

    assert facts(events)[1:] == [(50.0, "draining", "running"), (56.0, "terminated", "draining")]
    assert [event.cause for event in events[1:]] == [cause, cause]


def test_a_crashed_node_is_terminated_once_its_machine_is_ended(journaled: NodeTracker) -> None:
    events = feed(
        journaled, (12.0, row()), (51.0, dead("unexpected")), entry(60.0, "terminated"), entry(61.0, "failed")
    )

    assert facts(events) == [(10.0, "running", None), (50.0, "failed", "running"), (60.0, "terminated", "failed")]


def test_a_launch_that_failed_is_not_terminated_too(journaled: NodeTracker) -> None:
    events = feed(journaled, entry(1.0, "requested"), entry(9.0, "failed"), entry(10.0, "terminated"))

    assert [event.state for event in events] == ["requested", "failed"]


def test_a_node_that_was_draining_has_not_crashed(tracker: NodeTracker) -> None:
    events = feed(
        tracker,
        (12.0, row()),
        line(45.0, "draining", cloud="n1", detail="idle for 15 secs"),
        (51.0, dead("unspecified")),
    )

    assert facts(events)[-1] == (50.0, "terminated", "draining")
    assert events[-1].cause == "idle"


def test_a_death_without_a_time_happened_when_it_was_seen(tracker: NodeTracker) -> None:
    events = feed(tracker, (12.0, row()), (51.0, dead("unexpected", end=None)))

    assert facts(events)[-1] == (51.0, "failed", "running")


def test_the_head_ends_with_its_ray_even_where_there_is_a_journal(journaled: NodeTracker) -> None:
    events = feed(journaled, (12.0, row(is_head=True)), (51.0, dead("expected", is_head=True)))

    assert facts(events)[-1] == (50.0, "terminated", "running")


def test_a_node_that_was_dead_before_we_looked_is_ignored(tracker: NodeTracker) -> None:
    assert looked(tracker, 60.0, dead("idle")) == []
    assert tracker.nodes() == []
    assert tracker.of_ray_node("ray-n1") is None


def test_a_node_that_lived_between_two_looks_is_told_whole(journaled: NodeTracker) -> None:
    feed(journaled, entry(1.0, "requested"))
    events = looked(journaled, 60.0, dead("unexpected", start=10.0, end=50.0))

    assert facts(events) == [(10.0, "running", "requested"), (50.0, "failed", "running")]


def test_a_node_stays_dead_however_often_it_is_seen_dead(tracker: NodeTracker) -> None:
    feed(tracker, (12.0, row()), (51.0, dead("idle")))

    assert feed(tracker, (52.0, dead("idle")), (53.0, dead("unexpected"))) == []


# Running and idle


def test_running_and_idle_alternate(tracker: NodeTracker) -> None:
    events = feed(
        tracker,
        (10.5, row("running", start=10.0)),
        (11.0, row("running", start=10.0)),
        (20.0, row("idle", start=10.0, idle_s=1.5)),
        (20.5, row("idle", start=10.0, idle_s=2.0)),
        (21.0, row("running", start=10.0)),
        (30.0, row("idle", start=10.0, idle_s=0.5)),
    )

    assert facts(events) == [
        (10.0, "running", None),
        (18.5, "idle", "running"),
        (21.0, "running", "idle"),
        (29.5, "idle", "running"),
    ]


def test_a_node_is_never_idle_from_before_it_began(tracker: NodeTracker) -> None:
    events = feed(tracker, (12.0, row("idle", start=10.0, idle_s=7.0)))

    assert facts(events) == [(10.0, "running", None), (10.0, "idle", "running")]


def test_a_node_that_drains_is_neither_running_nor_idle_again(tracker: NodeTracker) -> None:
    feed(tracker, (12.0, row()), (20.0, row("idle")), (21.0, row("draining")))

    assert feed(tracker, (22.0, row("running")), (23.0, row("idle")), (24.0, row("draining"))) == []


# What comes late


def test_a_state_that_is_told_late_is_told_with_its_time_and_changes_nothing(journaled: NodeTracker) -> None:
    feed(journaled, (10.5, row(start=10.0)))
    late = feed(journaled, entry(1.0, "requested"), entry(5.0, "installing"))
    (node,) = journaled.nodes()

    assert facts(late) == [(1.0, "requested", None), (5.0, "installing", None)]
    assert (node.state, node.since) == ("running", 10.0)


def test_an_allocation_that_the_monitor_noticed_after_ray_had_joined_is_kept(tracker: NodeTracker) -> None:
    events = feed(tracker, line(38.6, "requested"), (44.0, row(start=43.2)), line(43.684, "allocated", cloud="n1"))

    assert "allocated" in [event.state for event in events]
    assert max(events, key=lambda event: event.t).state == "running"


def test_a_node_that_refuses_to_drain_runs_on(journaled: NodeTracker) -> None:
    """Work arrived between the autoscaler's decision and its request; later the node drains for good."""
    back = "2026-11-23 06:46:45,000\tINFO instance_manager.py:263 -- Update instance RAY_STOP_REQUESTED->RAY_RUNNING "
    back += "(id=i-n1, type=x86, cloud_instance_id=n1, ray_id=n1): failed to stop/drain ray"
    refused = parse_line(back)
    assert refused is not None
    t = refused.wall
    events = feed(
        journaled,
        (t - 30, row("idle", start=t - 30)),
        line(t - 1, "draining", cloud="n1", detail="draining ray: idle for 15 secs"),
        refused,
        (t + 0.5, row("running", start=t - 30)),
        line(t + 60, "draining", cloud="n1", detail="draining ray: idle for 15 secs"),
    )

    assert [event.state for event in events][-3:] == ["draining", "running", "draining"]
    assert (events[-2].t, events[-2].cause) == (t, "drain_rejected")


def test_after_a_nodes_end_nothing_comes_late(journaled: NodeTracker) -> None:
    feed(journaled, (10.5, row()), entry(50.0, "terminated"))

    assert feed(journaled, entry(1.0, "requested"), (60.0, row("idle"))) == []


def test_the_cause_of_an_end_is_kept_if_the_gcs_saw_the_drain_first(journaled: NodeTracker) -> None:
    *_, end = feed(
        journaled,
        (12.0, row("idle")),
        (45.2, row("draining")),
        line(45.0, "draining", cloud="n1", detail="draining ray: idle for 15.9 secs"),
        (46.0, dead("idle", end=45.5)),
        entry(50.0, "terminating"),
        entry(50.3, "terminated"),
    )

    assert (end.state, end.cause) == ("terminated", "idle")


@pytest.mark.parametrize(
    "told",
    [
        # The snapshot's time is taken after Ray's answer; the node died in between.
        [(12.0, row("idle")), (20.005, row("running")), (20.5, dead("unexpected", end=20.004))],
        [(12.0, row("idle")), (20.4, row("draining")), entry(20.2, "terminating"), entry(20.3, "terminated")],
    ],
)
def test_in_the_order_of_time_too_a_node_ends_with_its_end(journaled: NodeTracker, told: list[Any]) -> None:
    by_time = sorted(feed(journaled, *told), key=lambda event: event.t)

    assert by_time[-1].state in FINAL_STATES


def test_a_node_that_drains_does_not_become_idle_afterwards(journaled: NodeTracker) -> None:
    events = feed(journaled, (12.0, row("running")), entry(20.0, "terminating"), (21.0, row("idle", idle_s=0.5)))

    assert max(events, key=lambda event: event.t).state == "draining"


def test_the_head_is_the_head_even_if_the_log_tells_of_it_first(tracker: NodeTracker) -> None:
    detail = "allocated unmanaged cloud instance :n1 (HEAD) from cloud provider"
    (event,) = feed(tracker, line(1.0, "allocated", cloud="n1", detail=detail))

    assert event.is_head


# What is known now


def test_a_baseline_tells_each_living_node_and_since_when(journaled: NodeTracker) -> None:
    feed(journaled, (12.0, row()), (12.0, row(name="n2", start=11.0)), (13.0, dead("unexpected", name="n2")))
    (event,) = journaled.baseline(100.0)

    assert (event.t, event.since, event.state, event.previous, event.cause) == (
        100.0,
        10.0,
        "running",
        None,
        "baseline",
    )


def test_a_baseline_says_since_when_the_present_state_lasts(tracker: NodeTracker) -> None:
    feed(tracker, (12.0, row()), (30.0, row("idle", idle_s=4.0)))
    (event,) = tracker.baseline(100.0)

    assert (event.state, event.since) == ("idle", 26.0)


def test_a_node_is_found_by_rays_id_even_when_it_is_dead(tracker: NodeTracker) -> None:
    feed(tracker, (12.0, row()), (51.0, dead("unexpected")))
    found = tracker.of_ray_node("ray-n1")

    assert found is not None
    assert found.node == "n1"
    assert tracker.nodes() == []


# Any order of anything


@st.composite
def told(draw: st.DrawFn) -> list[Any]:
    """What three sources say of two nodes, in any order and at any time."""
    names, times = st.sampled_from(["n1", "n2"]), st.floats(0, 100)
    statuses = st.sampled_from(["running", "idle", "draining", "dead"])
    reasons = st.sampled_from(["unspecified", "expected", "unexpected", "preempted", "idle"])
    rows = st.builds(
        row,
        statuses,
        name=names,
        start=times,
        end_time=st.none() | times,
        death_reason=reasons,
        idle_s=times,
        instance_id=names,
    ).map(
        lambda made: row(
            made.status,
            name=made.instance_id,
            start=made.start_time,
            idle_s=made.idle_s,
            end_time=made.end_time,
            death_reason=made.death_reason,
        )
    )
    entries = st.builds(
        entry,
        times,
        st.sampled_from(
            ["requested", "allocated", "installing", "started", "ray_ended", "terminating", "terminated", "failed"]
        ),
        name=names,
    )
    states: st.SearchStrategy[NodeState] = st.sampled_from(
        ["requested", "allocated", "installing", "draining", "terminated", "failed"]
    )
    lines = st.tuples(times, states, names, st.booleans()).map(
        lambda drawn: line(drawn[0], drawn[1], instance=f"i-{drawn[2]}", cloud=drawn[2] if drawn[3] else "")
    )
    return draw(st.lists(st.one_of(st.tuples(times, rows), entries, lines), max_size=25))


def by_node(events: Iterable[NodeEvent]) -> Iterator[list[NodeEvent]]:
    lives: dict[str, list[NodeEvent]] = {}
    for event in events:
        lives.setdefault(event.node, []).append(event)
    yield from lives.values()


@given(told=told(), provider_journal=st.booleans())
def test_every_node_lives_a_legal_life(told: list[Any], provider_journal: bool) -> None:
    events = feed(NodeTracker(describe, provider_journal=provider_journal), *told)

    for life in by_node(events):
        states = [event.state for event in life]
        once = [state for state in states if state not in ("running", "idle")]
        assert len(once) == len(set(once))
        before = states[:-2] if states[-2:] == ["failed", "terminated"] else states[:-1]
        assert not set(before) & FINAL_STATES
        present: NodeState | None = None
        for event in life:
            if event.previous is not None or present is None:
                assert event.previous == present
                assert event.state != present
                present = event.state


@given(told=told(), provider_journal=st.booleans())
def test_the_nodes_known_now_are_those_whose_life_has_not_ended(told: list[Any], provider_journal: bool) -> None:
    tracker = NodeTracker(describe, provider_journal=provider_journal)
    lives = list(by_node(feed(tracker, *told)))

    assert sorted(node.node for node in tracker.nodes() if node.state is not None) == sorted(
        life[0].node for life in lives if life[-1].state not in FINAL_STATES
    )


@given(st.integers(0, 2**32))
def test_in_whatever_order_the_sources_come_the_stages_have_the_same_times(seed: int) -> None:
    journal = [entry(1.0, "requested"), entry(1.5, "allocated"), entry(5.5, "installing")]
    ray = [(10.5, row(start=10.0)), (20.0, row("idle", idle_s=1.0))]
    positions = sorted(random.Random(seed).sample(range(5), len(journal)))
    told: list[Any] = [journal.pop(0) if place in positions else ray.pop(0) for place in range(5)]
    events = feed(NodeTracker(describe, provider_journal=True), *told)

    assert sorted((event.t, event.state) for event in events) == [
        (1.0, "requested"),
        (1.5, "allocated"),
        (5.5, "installing"),
        (10.0, "running"),
        (19.0, "idle"),
    ]


# Finer stages of a launch


def test_a_journal_tells_stages_of_a_launch(journaled: NodeTracker) -> None:
    events = feed(journaled, entry(5.0, "stage", stage="setup"))

    assert [(each.t, each.node, each.stage) for each in events] == [(5.0, "n1", "setup")]


def test_a_stage_that_nobody_knows_is_no_event(journaled: NodeTracker) -> None:
    assert feed(journaled, entry(5.0, "stage", stage="lunch")) == []
