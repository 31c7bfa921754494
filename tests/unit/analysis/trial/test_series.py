"""The series of a trial, computed by hand: steps at the very times of its events."""

import pytest

from orchestrator.analysis.trial.score import score
from orchestrator.analysis.trial.series import Mark, Series, Span, series
from orchestrator.analysis.trial.steps import StepFunction, pieces
from orchestrator.model.events import Event
from tests.support.builders import T0, baseline, fault, life, node, phase, settings_in_force, sound, task, trial

# Three tasks on x86 (2 CPUs) and one on arm (4 CPUs), which is requested at 2 s, runs at 8 s and is ended at 30 s.
EVENTS = sound(
    baseline("a"),
    node(1, "a", "running"),
    task("a", 1, 11, count=2),
    task("a", 11, 21),
    life("b", "arm", requested=2, allocated=3, installing=6, running=8),
    task("b", 9, 19, node_type="arm"),
    node(19, "b", "idle", node_type="arm"),
    node(21, "a", "idle"),
    life("b", "arm", draining=29, terminated=30),
    end=40,
)


def found(events: list[Event], tasks: int = 4) -> Series:
    of_trial = series(trial(tasks=tasks), events)
    assert of_trial is not None
    return of_trial


def steps(of: StepFunction) -> dict[float, float]:
    """The values by the time from which they hold, where they change."""
    earlier = (of.before, *of.values)
    return {t: value for t, value, last in zip(of.times, of.values, earlier, strict=False) if value != last}


def test_pending_tasks_fall_when_tasks_start() -> None:
    assert steps(found(EVENTS).pending_tasks) == {0: 4, 1: 2, 9: 1, 11: 0}


def test_demand_is_what_runs_and_what_is_pending() -> None:
    assert steps(found(EVENTS).demand) == {0: 4, 11: 2, 19: 1, 21: 0}


def test_supply_is_what_can_run_tasks() -> None:
    assert steps(found(EVENTS).supply) == {-100: 2, 8: 6, 29: 2, 40: 0}


def test_nodes_and_their_cpus_by_arch() -> None:
    of_trial = found(EVENTS)

    assert of_trial.arches == ["x86_64", "arm64"]
    assert steps(of_trial.nodes["arm64"]) == {8: 1, 29: 0}
    assert steps(of_trial.capacity["arm64"]) == {8: 4, 29: 0}
    assert steps(of_trial.nodes["x86_64"]) == {-100: 1, 40: 0}


def test_cpus_in_use_come_from_the_tasks_themselves() -> None:
    of_trial = found(EVENTS)

    assert steps(of_trial.used["x86_64"]) == {1: 2, 11: 1, 21: 0}
    assert steps(of_trial.used["arm64"]) == {9: 1, 19: 0}


def test_tasks_of_several_cpus_and_submitted_later() -> None:
    of_trial = found(sound(baseline("a"), task("a", 0, 10, cpus=2), task("a", 12, 14, cpus=0.5, submitted=5)))

    assert steps(of_trial.pending_tasks) == {5: 1, 12: 0}
    assert steps(of_trial.demand) == {0: 2, 5: 2.5, 10: 0.5, 14: 0}


def test_changes_at_one_time_are_one_step() -> None:
    of_trial = found(sound(baseline("a"), task("a", 0, 10), task("a", 10, 20, submitted=10)))

    assert steps(of_trial.demand) == {0: 1, 20: 0}
    assert steps(of_trial.pending_tasks) == {}


def test_scaling_events_are_marked_but_not_the_alternation_with_load() -> None:
    marks = [(mark.t, mark.node, mark.state) for mark in found(EVENTS).marks]

    assert marks == [(2, "b", "requested"), (8, "b", "running"), (29, "b", "draining"), (30, "b", "terminated")]
    assert found(EVENTS).marks[0] == Mark(2, "b", "arm", "arm64", "requested")


def test_spans_are_the_states_from_the_submission_on() -> None:
    spans = found(EVENTS).spans

    assert spans[0] == Span("a", "x86", "x86_64", "idle", 0, 1)
    assert [(span.state, span.begin, span.end) for span in spans if span.node == "b"] == [
        ("requested", 2, 3),
        ("allocated", 3, 6),
        ("installing", 6, 8),
        ("running", 8, 19),
        ("idle", 19, 29),
        ("draining", 29, 30),
    ]
    assert [(span.state, span.begin, span.end) for span in spans if span.node == "a"][1:] == [
        ("running", 1, 21),
        ("idle", 21, 40),
    ]


def test_a_launch_that_failed_is_marked_and_lasts_until_then() -> None:
    of_trial = found(sound(baseline("a"), life("c", requested=1, failed=4), task("a", 0, 10)), tasks=1)

    assert [(span.state, span.begin, span.end) for span in of_trial.spans if span.node == "c"] == [("requested", 1, 4)]
    assert [mark.state for mark in of_trial.marks] == ["requested", "failed"]


def test_the_pieces_cap_demand_and_end_with_the_window() -> None:
    demand, supply = StepFunction((0, 10, 20), (8, 3, 0)), StepFunction((-5, 4, 25), (2, 4, 0))

    assert list(pieces(demand, supply, 0, 20, cap=6)) == [(0, 4, 6, 2), (4, 10, 6, 4), (10, 20, 3, 4)]


def test_the_areas_between_demand_and_supply_are_those_of_the_scorecard() -> None:
    of_trial, card = found(EVENTS), score(trial(tasks=4), EVENTS)
    parts = pieces(of_trial.demand, of_trial.supply, 0, of_trial.makespan_s, of_trial.servable_cpus)
    under = sum(max(0, d - s) * (until - begin) for begin, until, d, s in parts)

    assert under == pytest.approx((card.theta_u or 0) * (card.makespan_s or 0))
    assert under == 2 * 8


def test_times_count_from_the_submission_and_not_from_the_trace() -> None:
    of_trial = found(EVENTS)

    assert (of_trial.makespan_s, of_trial.until_s) == (21, 40)
    assert EVENTS[0].t < T0


def test_a_trace_without_a_task_has_no_series() -> None:
    assert series(trial(), [settings_in_force(), phase(5, "failed")]) is None


def test_faults_are_told_in_seconds_after_the_submission() -> None:
    hit = [fault(20, "a", tasks=1), node(20, "a", "failed"), *life("c", running=33)]
    (found_hit,) = found(sound(baseline("a"), task("a", 1, 11, count=4), *hit)).hits

    assert (found_hit.t, found_hit.node, found_hit.kind, found_hit.detail, found_hit.tasks) == (
        20,
        "a",
        "kill",
        "kill@20",
        1,
    )
    assert (found_hit.until, found_hit.lost, found_hit.replaced) == (None, 20, 33)
