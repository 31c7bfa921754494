"""The schedule of faults: who is hit when, by hand; seconds count from the first submission."""

import math
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.faults.schedule import FaultSchedule, Target
from orchestrator.model.fault import Fault
from tests.support.strategies import faults

A, B, C = Target("a", "x86"), Target("b", "x86"), Target("c", "arm")


def schedule(*texts: str, seed: int = 0) -> FaultSchedule:
    return FaultSchedule([Fault.model_validate(text) for text in texts], seed)


def hits(of: FaultSchedule, elapsed: float, *living: Target) -> list[tuple[str, str]]:
    return [(str(injection.fault), injection.target.node) for injection in of.due(elapsed, living)]


def test_a_fault_happens_once_and_at_its_time() -> None:
    one = schedule("kill@20:arm")

    assert one.next_s == 20
    assert hits(one, 19.9, A, C) == []
    assert one.next_s == 20
    assert hits(one, 20, A, C) == [("kill@20:arm", "c")]
    assert one.next_s == math.inf
    assert hits(one, 30, A, C) == []


def test_faults_happen_in_the_order_of_their_times_whatever_that_of_the_workload() -> None:
    two = schedule("pause@30+5:arm", "kill@20:x86")

    assert hits(two, 25, A, C) == [("kill@20:x86", "a")]
    assert two.next_s == 30
    assert hits(two, 31, C) == [("pause@30+5:arm", "c")]


def test_one_moment_hits_no_node_twice() -> None:
    three = schedule("kill@20", "kill@20", "kill@20")

    assert sorted(node for _, node in hits(three, 20, A, B)) == ["a", "b"]
    assert hits(three, 21, C) == [("kill@20", "c")]


def test_a_fault_without_a_victim_waits_for_one() -> None:
    one = schedule("kill@20:arm")
    assert hits(one, 10, A) == []
    assert not one.waits_for_nodes
    assert hits(one, 20, A) == []

    assert one.waits_for_nodes
    assert one.next_s == math.inf
    assert hits(one, 44, A, C) == [("kill@20:arm", "c")]
    assert not one.waits_for_nodes


def test_what_never_hit_a_node_is_noted_with_the_reason() -> None:
    three = schedule("kill@20:arm", "pause@50", "kill@1", "spot@1/h")
    hits(three, 25, A)
    notes = three.missed(31.0)

    assert [(note.t, note.kind, note.text) for note in notes] == [
        (31.0, "fault_missed", "kill@20:arm hit no node: none of its type was there"),
        (31.0, "fault_missed", "pause@50 hit no node: the workload ended before"),
    ]


def test_a_fault_whose_target_had_ended_waits_for_another_one() -> None:
    two = schedule("kill@20", "spot@3600/h")
    (injection,) = two.due(20, [A])
    two.put_back(injection)

    assert two.waits_for_nodes
    assert hits(two, 21, B) == [("kill@20", "b")]
    spot = next(injection for injection in two.due(5000, [C]) + two.due(9000, [C]) if injection.target == C)
    two.put_back(spot)
    assert two.missed(0) == []


@given(st.permutations([A, B, C, Target("d", "arm", tasks=3)]), st.integers(0, 99))
def test_the_target_depends_on_the_seed_and_not_on_the_order_of_the_list(nodes: list[Target], seed: int) -> None:
    assert hits(schedule("kill@1", seed=seed), 1, *nodes) == hits(schedule("kill@1", seed=seed), 1, *sorted(nodes))


def test_another_seed_may_choose_another_victim() -> None:
    chosen = {hits(schedule("kill@1", seed=seed), 1, A, B, C)[0][1] for seed in range(50)}

    assert chosen == {"a", "b", "c"}


def test_each_node_is_taken_back_at_its_own_time_after_it_was_first_seen() -> None:
    fault = Fault.model_validate("spot@12/h")
    first, second = (fault.lifetime_s(7, 0, "x86", index) for index in (0, 1))
    spot = schedule("spot@12/h", seed=7)

    assert spot.waits_for_nodes
    assert hits(spot, 0, A) == []
    assert spot.next_s == first
    assert hits(spot, 1, A, B) == []
    assert spot.next_s == min(first, 1 + second)
    assert hits(spot, first, A) == [("spot@12/h", "a")]
    assert hits(spot, 1 + second, B) == [("spot@12/h", "b")]


def test_a_node_that_is_gone_is_not_waited_for() -> None:
    spot = schedule("spot@12/h")
    hits(spot, 0, A)

    assert hits(spot, 1) == []
    assert spot.next_s == math.inf


def test_spot_interruptions_leave_other_node_types_alone() -> None:
    spot = schedule("spot@3600/h:arm")

    assert [hits(spot, second, A, C) for second in (0, 1000)] == [[], [("spot@3600/h:arm", "c")]]


@given(st.lists(faults(), max_size=4), st.integers(0, 9), st.lists(st.floats(0, 86_400), max_size=12))
def test_asking_whenever_something_is_due_misses_nothing(
    listed: Sequence[Fault], seed: int, joins: list[float]
) -> None:
    """Whoever asks at `next_s`, and when a node joins, hears the same as one who asks more often."""
    nodes = [(t, Target(f"n{number:02}", "x86")) for number, t in enumerate(sorted(joins))]

    def run(more: Sequence[float]) -> list[tuple[str, str]]:
        plan, found, gone = FaultSchedule(listed, seed), list[tuple[str, str]](), set[str]()
        moments = sorted({0.0, *joins, *more})
        while True:
            moment = min([plan.next_s, *moments[:1]])
            if moment > 86_400:
                return found
            moments = [later for later in moments if later > moment]
            living = [node for t, node in nodes if t <= moment and node.node not in gone]
            for injection in plan.due(moment, living):
                gone.add(injection.target.node)
                found.append((str(injection.fault), injection.target.node))

    assert run([]) == run([10.0 * step for step in range(100)])
