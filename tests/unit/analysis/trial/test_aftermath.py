"""What followed from a fault, from traces that can be computed by hand; seconds count from the submission."""

from collections.abc import Sequence

import pytest

from orchestrator.analysis.trial.aftermath import aftermaths, lost_on_purpose
from orchestrator.analysis.trial.node_lives import node_lives
from orchestrator.model.events import Event, NodeEvent
from tests.support.builders import T0, baseline, fault, life, node, sound


def told(*events: Event | list[Event]) -> list[tuple[str, float | None, float | None, float | None]]:
    """Node, end, loss and replacement of each fault."""
    trace = sound(*events)

    def seconds(t: float | None) -> float | None:
        return None if t is None else t - T0

    return [
        (each.fault.node, seconds(each.until), seconds(each.lost), seconds(each.replaced))
        for each in aftermaths(trace, node_lives(trace))
    ]


def fails(t: float, name: str, node_type: str = "x86") -> NodeEvent:
    return node(t, name, "failed", node_type=node_type, cause="fault")


def test_a_killed_node_is_lost_at_once_and_replaced_when_another_one_of_its_type_runs() -> None:
    found = told(
        baseline("a"),
        baseline("c", node_type="arm"),
        fault(20, "a"),
        fails(20, "a"),
        life("d", "arm", requested=21, running=30),
        life("b", requested=25, running=60),
    )

    assert found == [("a", None, 20, 60)]


def test_two_nodes_killed_at_once_are_replaced_by_two() -> None:
    nodes = [baseline("a"), baseline("b")]
    hits = [fault(20, "a"), fails(20, "a"), fault(20, "b"), fails(20, "b")]

    assert told(*nodes, *hits, life("c", running=50), life("d", running=70)) == [
        ("a", None, 20, 70),
        ("b", None, 20, 70),
    ]


def test_a_node_that_nobody_needs_any_more_is_not_replaced() -> None:
    assert told(baseline("a"), fault(20, "a"), fails(20, "a")) == [("a", None, 20, None)]


def test_a_paused_node_that_goes_on_is_not_lost() -> None:
    assert told(baseline("a"), fault(20, "a", "pause"), fault(25, "a", "pause", since=20)) == [("a", 25, None, None)]


def test_a_paused_node_is_lost_when_the_gcs_gives_it_up() -> None:
    found = told(
        baseline("a"),
        fault(20, "a", "pause"),
        fails(47, "a"),
        fault(80, "a", "pause", since=20),
        life("b", running=70),
    )

    assert found == [("a", 80, 47, 70)]


def test_a_node_that_came_while_the_other_was_silent_replaces_it_from_its_loss_on() -> None:
    found = told(baseline("a"), fault(20, "a", "pause"), life("b", running=40), fails(47, "a"))

    assert found == [("a", None, 47, 47)]


def test_a_killed_node_may_be_seen_to_end_without_a_failure() -> None:
    gone = life("a", draining=22, terminated=26)

    assert told(baseline("a"), fault(20, "a"), gone) == [("a", None, 22, None)]
    assert told(baseline("a"), fault(20, "a", "pause"), gone) == [("a", None, None, None)]


def test_a_node_hit_as_it_joins_is_replaced_by_one() -> None:
    found = told(life("a", requested=1, running=20, failed=20), fault(20, "a"), life("b", running=50))

    assert found == [("a", None, 20, 50)]


@pytest.mark.parametrize(("second", "lost"), [(80, {"a"}), (300, set())])
def test_a_crash_long_after_a_pause_was_over_is_not_its_doing(second: float, lost: set[str]) -> None:
    trace = sound(baseline("a"), fault(20, "a", "pause"), fault(25, "a", "pause", since=20), fails(second, "a"))

    assert lost_on_purpose(aftermaths(trace, node_lives(trace))) == lost


@pytest.mark.parametrize("events", [(), (baseline("a"), fails(20, "a"))])
def test_a_trace_without_faults_tells_of_none(events: Sequence[NodeEvent]) -> None:
    assert told(*events) == []


def test_a_fault_of_a_node_that_the_trace_does_not_know_is_told_all_the_same() -> None:
    assert told(fault(20, "stranger")) == [("stranger", None, None, None)]
