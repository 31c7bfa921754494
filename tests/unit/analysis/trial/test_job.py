"""The scorecard of a trial with the user's own script."""

import pytest

from orchestrator.analysis.trial.score import score
from orchestrator.analysis.trial.series import series
from orchestrator.model.events import Event
from orchestrator.model.job import Job
from orchestrator.model.workload import Workload
from tests.support.builders import baseline, note, phase, settings_in_force, task, trial

TRIAL = trial().replace(workload=Workload(job=Job(entrypoint="python train.py")))
NODE = baseline("n1")


def events(*more: Event) -> list[Event]:
    """A job from 0 to 30 s, with whatever else happened."""
    whole = [settings_in_force(), NODE, phase(0, "running"), *more, phase(30, "scaling_down"), phase(40, "done")]
    return sorted(whole, key=lambda event: event.t)


def test_the_makespan_is_that_of_the_job_and_not_of_its_tasks() -> None:
    card = score(TRIAL, events(task("n1", 5, 15), task("n1", 15, 25)))

    assert (card.makespan_s, card.tasks, card.valid) == (30.0, 2, True)


def test_a_job_without_tasks_has_a_makespan_too() -> None:
    card = score(TRIAL, events())

    assert (card.makespan_s, card.tasks, card.cpu_utilisation, card.valid) == (30.0, 0, 0.0, True)
    assert series(TRIAL, events()) is not None


def test_a_job_that_never_ended_has_no_numbers() -> None:
    card = score(TRIAL, [settings_in_force(), NODE, phase(0, "running"), phase(30, "failed", "it took too long")])

    assert card.makespan_s is None
    assert card.invalid_because == ("failed: it took too long",)


def test_attempts_that_failed_are_a_warning_since_scripts_retry() -> None:
    card = score(TRIAL, events(task("n1", 5, 15, ok=False)))

    assert (card.valid, card.warnings) == (True, ("1 attempts at tasks failed",))


@pytest.mark.parametrize(("kind", "known"), [("records_missing", True), ("records_incomplete", False)])
def test_numbers_that_need_every_task_are_left_out_where_many_are_missing(kind: str, known: bool) -> None:
    card = score(TRIAL, events(task("n1", 5, 15), note(30, kind)))

    assert card.valid
    assert len(card.warnings) == 1
    numbers = (card.theta_u, card.uncapped.theta_u, card.cpu_utilisation, card.task_wait_s.get("all"))
    assert [number is not None for number in numbers] == [known] * 4
    assert card.makespan_s == 30.0
