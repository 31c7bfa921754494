"""From scaling events to the life of each node."""

from orchestrator.analysis.trial.node_lives import NodeLife, node_lives
from orchestrator.model.events import Event
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
