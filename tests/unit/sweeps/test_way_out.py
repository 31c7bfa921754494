"""What a user reads last of a sweep without a valid trial."""

from typing import Any

import pytest

from orchestrator.sweeps.ledger import SweepRecord
from orchestrator.sweeps.way_out import way_out
from tests.support.builders import scorecard, sweep_record, trial, trial_record

BUSY = "the host's CPUs were saturated for 94% of the time"


def swept(*reasons: str, backend: str = "local", **more: Any) -> SweepRecord:
    """A trial for each reason to be invalid."""
    return sweep_record(
        *(
            trial_record(trial(repeat=n), scorecard=scorecard(valid=False, invalid_because=(reason,)), **more)
            for n, reason in enumerate(reasons, start=1)
        ),
        backend=backend,
    )


def test_on_a_busy_machine_the_advice_is_to_close_programs_and_resume() -> None:
    assert way_out(swept(BUSY, BUSY, BUSY)) == (
        "nothing to compare: all 3 trials are invalid. "
        "Close other programs, then: orchestrate sweep --resume c0ffee00; or use the simulator: orchestrate simulate"
    )


def test_for_another_reason_the_advice_is_to_remove_it_and_resume() -> None:
    line = way_out(swept(BUSY, "the observer saw nothing for 9 s"))

    assert line.endswith("Remove the reason above, then: orchestrate sweep --resume c0ffee00")


def test_a_single_trial_is_called_that() -> None:
    assert way_out(swept(BUSY)).startswith("nothing to compare: the only trial is invalid. ")


@pytest.mark.parametrize(
    ("record", "words"),
    [
        (swept("failed: no head", "failed: no head", status="failed"), "all 2 trials failed."),
        (
            sweep_record(*swept(BUSY).trials, *swept("failed: no head", status="failed").trials),
            "all 2 trials failed or are invalid.",
        ),
    ],
)
def test_failed_trials_are_told_from_invalid_ones(record: SweepRecord, words: str) -> None:
    assert words in way_out(record)


def test_resuming_does_not_help_a_simulated_sweep() -> None:
    line = way_out(swept("0 of 8 tasks were recorded", backend="simulated"))

    assert "--resume" not in line
    assert "always gives the same result" in line


def test_there_is_nothing_to_say_while_a_trial_is_valid_or_still_to_run() -> None:
    assert way_out(sweep_record(*swept(BUSY).trials, trial_record(trial(repeat=2)))) == ""
    assert way_out(sweep_record(*swept(BUSY).trials, trial_record(trial(repeat=2), status="planned"))) == ""
    assert way_out(sweep_record()) == ""
