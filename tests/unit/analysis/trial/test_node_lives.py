"""From scaling events to the life of each node."""

import pytest

from orchestrator.analysis.trial.node_lives import NodeLife, NodeLives, node_lives, seconds_within
from orchestrator.analysis.trial.steps import covered
from orchestrator.model.events import Event, NodeEvent, StageEvent
from tests.support.builders import T0, baseline, life, node, task

WHOLE = life("n1", requested=2, allocated=3, installing=8, running=10, idle=30, draining=45, terminated=50)


def only(events: list[Event]) -> NodeLife:
    (found,) = node_lives(events)
    return found


def test_a_life_holds_each_state_with_its_time() -> None:
    found = only(WHOLE)

    assert [(t - T0, state) for t, state in found.states] == [
        (2, "requested"),
        (3, "allocated"),
        (8, "installing"),
        (10, "running"),
        (30, "idle"),
        (45, "draining"),
        (50, "terminated"),
    ]


def test_a_life_knows_what_the_node_is() -> None:
    found = only(life("n1", "arm", running=10))

    assert (found.node, found.node_type, found.arch, found.cpus) == ("n1", "arm", "arm64", 4.0)
    assert found.ray_node_id == "ray-n1"


def test_lives_stand_in_the_order_of_their_first_event() -> None:
    events = [*life("n2", requested=1), *life("n1", requested=2), *life("n2", running=3)]

    assert [found.node for found in node_lives(events)] == ["n2", "n1"]


def test_the_head_and_other_events_are_no_lives() -> None:
    assert node_lives([node(1, "h", "running", node_type="head"), task("n1", 2, 3)]) == []


def test_a_life_takes_over_what_becomes_known_later() -> None:
    first = node(2, "n1", "requested").model_copy(update={"ray_node_id": "", "cpus": 0.0})
    found = only([first, node(10, "n1", "running")])

    assert (found.ray_node_id, found.cpus) == ("ray-n1", 2.0)


def test_a_node_is_alive_while_ray_can_use_it() -> None:
    assert only(WHOLE).alive(T0 + 100) == [(T0 + 10, T0 + 30), (T0 + 30, T0 + 45)]


def test_a_node_is_billed_from_its_allocation_to_its_end() -> None:
    billed = only(WHOLE).billed(T0 + 100)

    assert (billed[0][0], billed[-1][1]) == (T0 + 3, T0 + 50)
    assert sum(end - start for start, end in billed) == 47


def test_a_node_whose_end_is_not_seen_lives_to_the_end_of_the_trace() -> None:
    found = only(life("n1", requested=2, allocated=3, running=10))

    assert found.alive(T0 + 60) == [(T0 + 10, T0 + 60)]


def test_a_baseline_node_has_lived_since_before_the_trace() -> None:
    found = only([baseline("n1", since=-100)])

    assert found.baseline
    assert found.states == [(T0 - 100, "idle")]
    assert found.alive(T0 + 10) == [(T0 - 100, T0 + 10)]


def test_each_stage_of_a_launch_has_its_seconds() -> None:
    assert only(WHOLE).stage_seconds() == {"request": 1, "boot": 5, "install": 2, "launch": 8}


def test_a_stage_that_the_trace_does_not_show_whole_has_no_seconds() -> None:
    assert only(life("n1", requested=2, running=10)).stage_seconds() == {"launch": 8}


def test_a_baseline_node_has_no_stages() -> None:
    assert only([baseline("n1"), node(5, "n1", "running")]).stage_seconds() == {}


def test_a_state_that_never_came_has_no_time() -> None:
    assert only(WHOLE).first("failed") is None


# Event by event


def folded(*events: Event, keep_ended: bool = True) -> NodeLives:
    lives = NodeLives(keep_ended=keep_ended)
    for event in events:
        lives.add(event)
    return lives


def test_folding_event_by_event_gives_the_lives_of_the_whole_trace() -> None:
    events = [*WHOLE, *life("n2", requested=5), baseline("b1"), *life("n3", allocated=4, running=6, failed=20)]

    assert list(folded(*events)) == node_lives(events)


def test_nodes_live_until_they_end() -> None:
    lives = folded(*WHOLE, *life("n2", requested=1, failed=2), *life("n3", running=3), *life("n4", running=3, failed=9))

    assert set(lives.living) == {"n3"}


def test_a_stage_that_is_reported_late_changes_no_present_state() -> None:
    (found,) = folded(*life("n1", running=20), *life("n1", allocated=3, installing=8))

    assert (found.state, found.since - T0) == ("running", 20)
    assert found.stage_seconds() == {"boot": 5, "install": 12}


def test_a_node_that_refuses_to_drain_runs_again() -> None:
    (found,) = folded(*life("n1", running=5, draining=30), node(30, "n1", "running", previous="draining"))

    assert (found.state, found.ended) == ("running", False)


def test_a_crashed_node_is_billed_until_its_machine_is_terminated() -> None:
    lives = folded(*life("n1", allocated=1, running=5, failed=30))
    (found,) = lives
    at_crash = seconds_within(found.billed(T0 + 100), T0, T0 + 100)
    lives.add(node(45, "n1", "terminated"))

    assert (at_crash, seconds_within(found.billed(T0 + 100), T0, T0 + 100)) == (29, 44)
    assert (found.crashed, found.terminated_after_failure, found.state) == (True, True, "terminated")


@pytest.mark.parametrize(
    ("states", "seconds"),
    [
        ({"requested": 0, "allocated": 1, "failed": 30}, 29),
        ({"requested": 0, "allocated": 1, "failed": 30, "terminated": 50}, 49),
        ({"requested": 0, "failed": 30, "terminated": 50}, 0),
    ],
)
def test_a_launch_that_failed_is_billed_as_long_as_a_machine_is_known_to_exist(
    states: dict[str, float], seconds: float
) -> None:
    found = only(life("n1", **states))

    assert (found.never_ran, found.crashed) == (True, False)
    assert covered(found.billed(T0 + 100)) == seconds


def test_without_ended_nodes_only_failed_machines_are_remembered_until_they_are_terminated() -> None:
    lives = folded(
        *WHOLE,
        *life("never", requested=1, failed=2),
        *life("crashed", running=3, failed=9),
        *life("stuck", allocated=3, failed=9),
        *life("here", running=3),
        keep_ended=False,
    )
    before = [found.node for found in lives]
    for name in ("crashed", "stuck"):
        lives.add(node(20, name, "terminated"))

    assert (before, [found.node for found in lives]) == (["crashed", "stuck", "here"], ["here"])


def test_a_node_that_alternates_for_days_needs_no_more_memory_and_loses_no_second() -> None:
    events = [*life("n1", requested=1, allocated=2, running=10)]
    for t in range(20, 2000, 20):
        events += life("n1", idle=t, running=t + 10)
    (whole,), (short,) = folded(*events), folded(*events, keep_ended=False)

    assert len(short.states) == 5
    assert short.stage_seconds() == whole.stage_seconds()
    assert [short.first(state) for state in ("running", "idle")] == [T0 + 10, T0 + 20]
    for of in (NodeLife.alive, NodeLife.billed):
        assert covered(of(short, T0 + 5000)) == covered(of(whole, T0 + 5000))


def test_an_event_completes_the_stages_that_it_ends_and_only_once() -> None:
    lives = NodeLives()
    seconds = [change.stage_seconds() for event in [*WHOLE, *life("n1", running=60)] if (change := lives.add(event))]

    assert seconds == [{}, {"request": 1}, {"boot": 5}, {"install": 2, "launch": 8}, {}, {}, {}, {}]


@pytest.mark.parametrize(
    ("event", "scaling"),
    [
        (node(1, "n1", "requested", cause="demand"), True),
        (node(1, "n1", "running", previous="installing"), True),
        (node(1, "n1", "draining", previous="idle"), True),
        (node(1, "n1", "idle", previous="running"), False),
        (node(1, "n1", "running", previous="idle", cause="tasks"), False),
        (baseline("n1"), False),
    ],
)
def test_scaling_is_a_step_towards_the_start_or_the_end_of_a_node(event: NodeEvent, scaling: bool) -> None:
    change = NodeLives().add(event)

    assert change is not None
    assert change.is_scaling is scaling


def test_the_head_and_other_events_change_no_life() -> None:
    assert list(map(NodeLives().add, [node(1, "h", "running", node_type="head"), task("n1", 2, 3)])) == [None, None]


# Finer stages of a launch


def stage(t: float, name: str, begun: str) -> StageEvent:
    return StageEvent(t=T0 + t, node=name, node_type="x86", stage=begun)


FINER = [stage(4, "n1", "machine"), stage(5, "n1", "ssh"), stage(8, "n1", "files"), stage(8.5, "n1", "setup")]


def test_stages_split_boot_and_install() -> None:
    found = only([*FINER, *WHOLE, stage(9, "n1", "ray_start")])

    assert found.stage_seconds() == {
        **{"request": 1, "boot": 5, "install": 2, "launch": 8},
        **{"machine": 1, "ssh": 4, "files": 0.5, "setup": 0.5, "ray_start": 1},
    }


def test_the_first_of_several_attempts_counts() -> None:
    found = only([*WHOLE, *FINER, stage(20, "n1", "setup")])

    assert found.reached("setup") == T0 + 8.5


def test_a_launch_without_stages_has_no_parts() -> None:
    assert only(WHOLE).part_seconds() == {}
