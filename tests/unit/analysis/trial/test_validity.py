"""A trial is valid unless there is a reason; each reason and each warning appears exactly when it should."""

from collections.abc import Sequence
from typing import Any

import pytest

from orchestrator.analysis.trial.score import score
from orchestrator.model.events import Event
from orchestrator.model.trial import Trial
from tests.support.builders import (
    baseline,
    demand,
    fault,
    host,
    life,
    node,
    note,
    phase,
    settings_in_force,
    task,
    trial,
)

WANTED = trial(tasks=4)
TASKS = [task("n0", 1, 11), task("n0", 1, 11), task("n0", 12, 21), task("n0", 12, 21)]


def reasons(*more: Event, of: Trial = WANTED, without: Sequence[Event] = ()) -> tuple[str, ...]:
    return judged(*more, of=of, without=without)[0]


def warnings(*more: Event) -> tuple[str, ...]:
    found, warned = judged(*more)

    assert found == ()
    return warned


def judged(*more: Event, of: Trial = WANTED, without: Sequence[Event] = ()) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Reasons and warnings of a sound trace of 21 s with `more` in it and some events left out."""
    sound = [settings_in_force(), baseline("n0"), demand(), *TASKS, phase(60, "done")]
    events = [*(event for event in sound if event not in without), *more]
    card = score(of, sorted(events, key=lambda event: event.t))

    assert card.valid == (not card.invalid_because)
    return card.invalid_because, card.warnings


def loads(*percents: float) -> list[Event]:
    return [host(1 + second, percent) for second, percent in enumerate(percents)]


def test_a_sound_trial_is_valid_without_a_warning() -> None:
    assert judged() == ((), ())


# The trial itself


def test_a_trial_that_failed_says_why() -> None:
    assert reasons(phase(40, "failed", "the head died")) == ("failed: the head died",)


def test_tasks_that_are_missing_are_counted() -> None:
    assert reasons(of=trial(tasks=6)) == ("4 of 6 tasks were recorded",)


def test_too_many_tasks_are_as_bad_as_too_few() -> None:
    assert reasons(task("n0", 1, 11)) == ("5 of 4 tasks were recorded",)


def test_tasks_that_share_an_event_are_counted_each() -> None:
    assert reasons(task("n0", 12, 21, count=3), of=trial(tasks=7)) == ()


def test_tasks_that_failed_are_counted() -> None:
    assert reasons(task("", 12, 12, ok=False, count=2), of=trial(tasks=6)) == ("2 tasks failed",)


def test_tasks_that_ran_on_somebody_elses_nodes_make_a_trial_invalid() -> None:
    """Seen with Ray's `auto` on a machine with two clusters: the job went to the other one."""
    found = reasons(task("elsewhere", 12, 21, count=2), of=trial(tasks=6))

    assert found == ("2 tasks ran on nodes that are not of this cluster",)


# Settings


def test_settings_that_nobody_saw_in_force_make_a_trial_invalid() -> None:
    assert reasons(without=[settings_in_force()]) == ("the settings were not in force",)


@pytest.mark.parametrize("t", [-1.0, 10.0, 55.0])
def test_settings_that_were_others_at_any_time_make_a_trial_invalid(t: float) -> None:
    assert reasons(settings_in_force(t, as_wanted=False)) == ("the settings were not in force",)


# The observer and the GCS


@pytest.mark.parametrize(("t", "seconds"), [(5.0, 4.0), (0.5, 4.0), (24.0, 4.0)])
def test_a_gap_that_touches_the_measured_time_makes_a_trial_invalid(t: float, seconds: float) -> None:
    assert reasons(note(t, "observer_gap", seconds)) == ("the observer saw nothing for 4 s",)


def test_the_longest_of_several_gaps_is_told() -> None:
    assert reasons(note(8, "observer_gap", 4.0), note(20, "observer_gap", 9.6)) == (
        "the observer saw nothing for 10 s",
    )


@pytest.mark.parametrize(("t", "seconds"), [(-0.5, 4.0), (30.0, 4.0)])
def test_a_gap_outside_of_the_measured_time_is_none(t: float, seconds: float) -> None:
    assert judged(note(t, "observer_gap", seconds)) == ((), ())


def test_a_gap_that_was_completed_from_logs_is_a_warning() -> None:
    gap = note(5.0, "observer_gap_completed", 4.0)

    assert judged(gap) == ((), (gap.text,))


def test_a_restart_of_the_gcs_makes_a_trial_invalid() -> None:
    assert reasons(note(10, "gcs_restarted")) == ("the GCS was restarted",)


def test_a_restart_of_the_gcs_before_the_submission_does_not() -> None:
    assert judged(note(-10, "gcs_restarted")) == ((), ())


def test_other_notes_are_only_notes() -> None:
    assert judged(note(10, "something new", 100.0)) == ((), ())


# The host


@pytest.mark.parametrize("percents", [(95.0,), (100.0, 100.0, 50.0), (95.0, 94.9, 99.0)])
def test_a_host_that_was_saturated_for_most_of_the_time_makes_a_trial_invalid(percents: tuple[float, ...]) -> None:
    (reason,) = reasons(*loads(*percents))

    assert reason.startswith("the host's CPUs were saturated for ")


def test_the_share_of_saturation_is_told_in_percent() -> None:
    assert reasons(*loads(100, 100, 100, 50)) == ("the host's CPUs were saturated for 75% of the time",)


@pytest.mark.parametrize("percents", [(100.0, 50.0), (100.0, 50.0, 50.0), (100.0, 50.0, 50.0, 50.0)])
def test_a_host_that_was_saturated_for_some_of_the_time_is_a_warning(percents: tuple[float, ...]) -> None:
    (warning,) = warnings(*loads(*percents))

    assert warning.startswith("the host's CPUs were saturated for ")


@pytest.mark.parametrize("percents", [(), (94.9,), (100.0, 50.0, 50.0, 50.0, 50.0)])
def test_a_host_that_was_hardly_saturated_is_not_mentioned(percents: tuple[float, ...]) -> None:
    assert judged(*loads(*percents)) == ((), ())


@pytest.mark.parametrize("t", [-1.0, 22.0])
def test_a_host_that_was_saturated_at_other_times_is_not_mentioned(t: float) -> None:
    assert judged(host(t, 100)) == ((), ())


# Demand


def test_demand_that_the_autoscaler_never_saw_makes_a_trial_invalid() -> None:
    assert reasons(without=[demand()]) == ("the autoscaler never saw the demand",)


def test_demand_without_a_cpu_was_not_the_tasks() -> None:
    assert reasons(demand(2, **{"CPU=1": 0}), without=[demand()]) == ("the autoscaler never saw the demand",)


@pytest.mark.parametrize(
    "workload", [{"arrival": "ramp"}, {"arrival": "waves"}, {"arrival": "poisson"}, {"cpus": 0.5}, {"cpus": 0}]
)
def test_where_the_baseline_may_be_enough_demand_need_not_be_seen(workload: dict[str, Any]) -> None:
    assert reasons(of=trial(tasks=4, workload=workload), without=[demand()]) == ()


# Launches


def failed_launch(name: str) -> list[Event]:
    return life(name, requested=2, failed=5)


def crash(name: str) -> list[Event]:
    return life(name, requested=2, allocated=3, running=5, failed=9)


def test_launches_that_failed_are_a_warning() -> None:
    assert warnings(*failed_launch("n1"), *failed_launch("n2")) == ("2 launches failed",)


def test_launched_nodes_that_crashed_are_a_warning() -> None:
    assert warnings(*crash("n1"), *crash("n2")) == ("2 nodes failed",)


def test_a_baseline_node_that_crashed_is_a_warning() -> None:
    assert len(warnings(*life("n0", failed=30))) == 1


def test_all_reasons_are_told_together() -> None:
    found = reasons(
        phase(40, "failed", "the head died"), note(10, "gcs_restarted"), *loads(100), without=[settings_in_force()]
    )

    assert found == (
        "failed: the head died",
        "the settings were not in force",
        "the GCS was restarted",
        "the host's CPUs were saturated for 100% of the time",
    )


# Faults on purpose


def test_a_node_that_failed_on_purpose_is_no_warning_and_one_that_crashed_beside_it_is() -> None:
    hit = [*life("n1", running=1, failed=9), fault(9, "n1")]

    assert judged(*hit) == ((), ())
    assert warnings(*hit, *life("n2", running=1, failed=9)) == ("1 node failed",)


def test_a_crash_before_the_fault_is_not_its_doing() -> None:
    assert warnings(*life("n1", running=1, failed=5), fault(9, "n2")) == ("1 node failed",)


def test_a_fault_that_did_not_come_off_is_a_reason() -> None:
    text = "kill@20 on n0: no such container"

    assert reasons(note(20, "fault_failed").model_copy(update={"text": text})) == (f"a fault failed: {text}",)


def test_a_fault_for_which_there_was_no_time_is_a_warning() -> None:
    text = "kill@90 hit no node: the workload ended before"

    assert warnings(note(21, "fault_missed").model_copy(update={"text": text})) == (text,)


def test_a_throttled_autoscaler_is_one_warning_however_often_it_is_noted() -> None:
    throttled = [note(t, "autoscaler_throttled").model_copy(update={"text": "throttled"}) for t in (3, 8, 13)]

    assert warnings(*throttled) == ("throttled",)


def test_the_faults_of_a_trial_are_counted() -> None:
    events = [
        *TASKS,
        baseline("n0"),
        fault(3, "n0", "pause"),
        fault(5, "n0", "pause", since=3),
        node(6, "n1", "failed"),
    ]

    assert score(WANTED, sorted(events, key=lambda event: event.t)).faults == 1
