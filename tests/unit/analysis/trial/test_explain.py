"""Why nodes came, why they went, and why none came: by the rules of both autoscalers, on small traces."""

from typing import Any

import pytest

from orchestrator.analysis.trial.explain import Explanation, Launch, explain, explain_at
from orchestrator.model.cluster import ClusterShape
from orchestrator.model.events import Event
from orchestrator.model.trial import Trial
from tests.support.builders import SHAPE, baseline, demand, life, node, sound, task, trial

EIGHT = {"CPU=1": 8}


def launched(*launches: tuple[float, str, int], **more: float) -> list[Event]:
    """Nodes of a type that are requested at a time, so many each; `more` are their later states, after the request."""
    events: list[Event] = []
    for t, node_type, count in launches:
        for n in range(count):
            later = {state: t + after for state, after in more.items()}
            name = f"{node_type}-{t:g}-{n}"
            events.append(node(t, name, "requested", node_type=node_type, cause="demand"))
            events += [node(at, name, state, node_type=node_type) for state, at in later.items()]  # type: ignore[arg-type]
    return events


def explained(tried: Trial, *events: Event | list[Event], pending: dict[str, int] | None = None) -> Explanation:
    trace = sound(demand(1, **(pending or EIGHT)), *events, task("n0", 2, 900))
    found = explain(tried, trace)
    assert found is not None
    return found


def rules(found: Explanation) -> dict[tuple[float, str], tuple[str, ...]]:
    return {(each.t, each.node_type): each.rules for each in found.launches}


def reasons(tried: Trial, t: float, *events: Event | list[Event], **pending: int) -> set[tuple[str, str]]:
    """Return (node type, reason) of what keeps nodes from coming at `t`."""
    found = explain_at(tried, sound(demand(1, **(pending or EIGHT)), *events, task("n0", 2, 900)), t)
    assert found is not None
    return {(each.node_type, each.reason) for each in found.obstacles}


# Why nodes came


@pytest.mark.parametrize(("speed", "count"), [(1, 1), (2, 2), (2.5, 3)])
def test_v2_launches_speed_times_the_running_nodes_in_each_update(speed: float, count: int) -> None:
    found = explained(trial(upscaling_speed=speed), baseline("n0"), launched((5, "arm", count)))

    assert "speed" in rules(found)[5, "arm"]
    assert f"speed {speed:g} with 0 running allows {count} in one update" in found.launches[0].text


def test_fewer_nodes_than_the_speed_allows_are_what_the_demand_needs() -> None:
    found = explained(trial(upscaling_speed=10), baseline("n0"), launched((5, "arm", 2)))

    assert rules(found) == {(5, "arm"): ("demand",)}
    assert found.launches[0].text == "demand 8 x CPU=1: no more nodes were needed"


def test_more_running_nodes_let_v2_launch_more() -> None:
    running = launched((5, "arm", 2), allocated=1, installing=2, running=3)
    found = explained(trial(upscaling_speed=1), baseline("n0"), running, launched((20, "arm", 1)))

    assert rules(found)[5, "arm"] == ("speed",)
    assert "speed" not in rules(found)[20, "arm"]  # two would have been allowed


def test_v1_lets_five_nodes_of_a_type_be_pending_whatever_the_speed() -> None:
    shape = wide(20)
    tried = trial(autoscaler="v1", upscaling_speed=1).model_copy(update={"shape": shape})
    found = explained(tried, baseline("n0"), launched((5, "x86", 3), allocated=1), launched((10, "x86", 2)))

    assert rules(found) == {(5, "x86"): ("demand",), (10, "x86"): ("speed",)}
    assert "allows 5 pending, of which there were 3" in found.launches[1].text


def wide(limit: int) -> ClusterShape:
    """`SHAPE` with room for so many nodes of each type."""
    workers = [worker.model_copy(update={"max_workers": limit}) for worker in SHAPE.workers]
    return SHAPE.replace(workers=workers, max_workers=2 * limit)


def test_the_launch_cap_counts_the_nodes_of_all_types_that_are_requested() -> None:
    tried = trial(upscaling_speed=100, max_concurrent_launches=4).model_copy(update={"shape": wide(20)})
    found = explained(tried, baseline("n0"), launched((5, "x86", 3), (5, "arm", 1)))

    assert rules(found) == {(5, "x86"): ("demand",), (5, "arm"): ("launch cap",)}
    assert "max_concurrent_launches is 4, with 3 launching before" in found.launches[1].text


def test_limits_of_the_type_and_of_the_cluster_are_named() -> None:
    tried = trial(upscaling_speed=10)
    of_type = explained(tried, baseline("n0"), launched((5, "x86", 2)))
    shape = SHAPE.model_copy(update={"max_workers": 3})
    of_all = explained(tried.model_copy(update={"shape": shape}), baseline("n0"), launched((5, "arm", 2)))

    assert rules(of_type) == {(5, "x86"): ("type limit",)}
    assert rules(of_all) == {(5, "arm"): ("total limit",)}


def test_a_node_that_nobody_asked_for_is_there_because_of_min_workers() -> None:
    events = sound(node(3, "n1", "requested", cause="min_workers"), task("n0", 5, 9))
    found = explain(trial(), [event for event in events if event.type != "demand"])

    assert found is not None
    assert rules(found) == {(3, "x86"): ("min_workers",)}
    assert found.launches[0].text == "min_workers is 1"


def test_launches_that_failed_are_counted() -> None:
    found = explained(trial(upscaling_speed=10), baseline("n0"), life("n1", "arm", requested=5, failed=7))

    assert [each.failed for each in found.launches] == [1]


def test_requests_of_one_update_are_one_launch() -> None:
    events = [node(5 + n / 10, f"n{n + 1}", "requested", node_type="arm", cause="demand") for n in range(3)]
    found = explained(trial(upscaling_speed=10), baseline("n0"), list(events))
    (launch,) = found.launches

    assert isinstance(launch, Launch)
    assert (launch.t, launch.nodes, launch.pending) == (5, ("n1", "n2", "n3"), EIGHT)


def test_ends_are_grouped_by_their_cause() -> None:
    ends: list[Event] = [
        node(100, "n1", "draining", cause="idle"),
        node(100.2, "n2", "draining", cause="idle"),
        node(101.5, "n1", "terminated", cause="idle"),
    ]
    nodes = [*life("n1", requested=5, running=8), *life("n2", requested=5, running=8)]
    found = explained(trial(), baseline("n0"), nodes, ends)

    assert [(each.t, each.nodes, each.cause) for each in found.ends] == [(100, ("n1", "n2"), "idle")]


# Why none came


def test_a_shape_that_no_type_holds_is_infeasible() -> None:
    assert reasons(trial(), 10, baseline("n0"), **{"CPU=1,GPU=1": 2}) == {("", "infeasible")}


def test_what_ray_itself_adds_to_nodes_makes_no_shape_infeasible() -> None:
    assert ("", "infeasible") not in reasons(trial(), 10, baseline("n0"), **{"CPU=1,memory=1000": 2})


def test_a_type_that_does_not_hold_the_shape_is_not_mentioned() -> None:
    assert {node_type for node_type, _ in reasons(trial(), 10, baseline("n0"), **{"CPU=1,Graviton=0.1": 2})} == {"arm"}


def test_full_types_and_a_full_cluster_are_named() -> None:
    full = launched((5, "x86", 2), (5, "arm", 3), running=5)
    shape = SHAPE.model_copy(update={"max_workers": 3})

    assert reasons(trial(), 50, baseline("n0"), full) == {("x86", "type limit"), ("arm", "type limit")}
    assert ("arm", "total limit") in reasons(
        trial().model_copy(update={"shape": shape}), 50, baseline("n0"), launched((5, "x86", 2), running=5)
    )


def test_nodes_that_are_being_launched_are_named() -> None:
    assert ("arm", "on its way") in reasons(trial(), 8, baseline("n0"), launched((5, "arm", 1), allocated=1))


def test_requests_up_to_the_cap_are_named() -> None:
    tried = trial(max_concurrent_launches=2).model_copy(update={"shape": wide(20)})

    assert ("x86", "launch cap") in reasons(tried, 8, baseline("n0"), launched((5, "arm", 2)), **{"CPU=1": 80})


def test_nodes_on_their_way_that_hold_all_demand_are_the_only_reason() -> None:
    """Another type isn't kept back by any rule: it isn't needed."""
    assert reasons(trial(), 8, baseline("n0"), launched((5, "arm", 2))) == {("arm", "on its way")}


def test_a_speed_that_lets_no_more_be_pending_is_named() -> None:
    tried = trial(autoscaler="v1", upscaling_speed=1).model_copy(update={"shape": wide(20)})

    launching = launched((5, "arm", 5), allocated=1)

    assert ("arm", "speed") in reasons(tried, 8, baseline("n0"), launching, **{"CPU=1": 80})


@pytest.mark.parametrize(("version", "back_off"), [("v1", True), ("v2", False)])
def test_failed_launches_are_no_capacity_and_under_v1_a_back_off(version: Any, back_off: bool) -> None:
    failed: list[Event] = [
        node(5, "n1", "requested", node_type="arm", cause="demand"),
        node(7, "n1", "failed", node_type="arm", cause="launch", detail="InsufficientInstanceCapacity"),
    ]
    tried = trial(autoscaler=version)
    found = explain_at(tried, sound(demand(1, **EIGHT), baseline("n0"), failed, task("n0", 2, 900)), 10)
    assert found is not None
    of_arm = {each.reason: each.text for each in found.obstacles if each.node_type == "arm"}

    assert of_arm["no capacity"] == "1 launch failed, the last 3 s before: InsufficientInstanceCapacity"
    assert ("back-off" in of_arm) is back_off


def test_a_back_off_ends_after_half_an_hour() -> None:
    failed = launched((5, "arm", 1), failed=2)

    assert ("arm", "back-off") in reasons(trial(autoscaler="v1"), 1806, baseline("n0"), failed)
    assert ("arm", "back-off") not in reasons(trial(autoscaler="v1"), 1808, baseline("n0"), failed)


def test_without_demand_the_idle_rule_is_explained() -> None:
    events = sound(baseline("n0", since=-20), task("n0", 0, 1))
    found = explain_at(trial(idle_timeout_minutes=1), [event for event in events if event.type != "demand"], 10)
    assert found is not None

    (only,) = found.obstacles
    assert (only.node_type, only.reason) == ("x86", "idle rule")
    assert only.text == "1 of 1 are idle, for up to 30 s; a node ends after 60 s; min_workers keeps 1"


def test_a_trial_that_submitted_nothing_has_no_explanation() -> None:
    assert explain(trial(), [baseline("n0")]) is None
    assert explain_at(trial(), [baseline("n0")], 5) is None
