"""What a validation prints: errors without a negative zero, one line over all trials, and tautologies named."""

import io

from rich.console import Console, RenderableType

from orchestrator.replay.replay import Validation
from orchestrator.report.terminal.replay import validation_document, validation_summary, validation_table
from tests.support.builders import scorecard, trial


def shown(table: RenderableType) -> str:
    console = Console(file=io.StringIO(), width=200)
    with console.capture() as captured:
        console.print(table)
    return captured.get()


Times = tuple[float, ...]


def validation(
    makespan: float,
    peak: float | None = 50.0,
    *,
    launches: int = 3,
    backend: str = "local",
    requests: tuple[Times, Times] = ((), ()),
) -> Validation:
    """A trial with a makespan of 100 s, a peak after 50 s and three launches, and its replay."""
    return Validation(
        trial=trial().model_copy(update={"backend": backend}),
        recorded=scorecard(100.0, time_to_peak_s=50.0, launches=3),
        simulated=scorecard(makespan, time_to_peak_s=peak, launches=launches),
        launches=requests,
    )


def test_an_error_too_small_to_show_has_no_sign_of_its_own() -> None:
    text = shown(validation_table(validation(99.999)))

    assert "-0.00" not in text
    assert "-0.0%" not in text
    assert "+0.00" in text


def test_the_last_line_says_within_which_error_all_trials_are() -> None:
    text = shown(validation_summary([validation(94.3), validation(103.0, 50.4, launches=4)]))

    assert text.strip() == "2 trials: makespan within 6 %, time to peak within 1 %; launches equal in 1 of 2"


def test_a_time_that_a_replay_does_not_show_is_counted() -> None:
    text = shown(validation_summary([validation(94.3, None), validation(100.0)]))

    assert "time to peak within 0 % (1 unknown)" in text


def test_a_replay_of_a_simulated_trial_is_called_a_repetition() -> None:
    text = shown(validation_summary([validation(100.0, backend="simulated"), validation(94.3)]))

    assert text.startswith("1 trial: makespan within 6 %")
    assert "note: 1 of 2 trials were simulated: a replay repeats them, and shows nothing about real clusters" in text


def test_launches_that_came_an_update_late_are_named_with_the_reason() -> None:
    late = validation(94.3, requests=((6.0, 6.0, 11.1), (1.0, 1.0, 11.0)))
    text = shown(validation_table(late))

    assert "note: 2 of 3 launches came one update of the autoscaler (5 s) later than simulated: an update can" in text
    assert [1, 1, 0] == validation_document(late)["launches"]["updates_late"]
    assert "launches equal in 2 of 2, late by an update or more in 1" in shown(
        validation_summary([late, validation(100.0)])
    )


def test_launches_that_came_in_time_need_no_word() -> None:
    text = shown(validation_table(validation(94.3, requests=((1.0, 6.1), (1.0, 6.0)))))

    assert "note" not in text


def test_launches_that_came_earlier_are_named_too() -> None:
    early = validation(94.3, requests=((1.0, 1.0), (1.0, 11.0)))

    assert "1 of 2 launches came up to 2 updates of the autoscaler (5 s) earlier" in shown(validation_table(early))
    assert "late" not in shown(validation_summary([early]))
