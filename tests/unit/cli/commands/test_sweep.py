"""A sweep that is resumed: nothing happens to a finished one, and one without a valid trial isn't called a success."""

import json
from pathlib import Path

import pytest

from orchestrator.replay.prediction import Foresight
from orchestrator.sweeps.ledger import Ledger
from tests.support.command_line import Run
from tests.support.ledgers import write_sweep

BUSY = "the host's CPUs were saturated for 94% of the time"
RESUME = ("sweep", "--resume", "@last")


def test_resuming_a_finished_sweep_shows_it_and_changes_nothing(run: Run, home: Path) -> None:
    ledger: Ledger = write_sweep(home, {1: [50.0], 10: [40.0]})
    before = ledger.sweep("c0ffee00")
    code, out, err = run(*RESUME)

    assert code == 0
    assert "sweep c0ffee00 is complete: there is no trial to run" in err
    assert "speed=10" in out
    assert ledger.sweep("c0ffee00") == before


def test_a_sweep_without_a_valid_trial_ends_with_1_and_the_way_out(run: Run, home: Path) -> None:
    write_sweep(home, {1: [50.0], 10: [40.0]}, valid=False, invalid_because=(BUSY,))
    code, out, _ = run(*RESUME, "--keep-invalid")

    assert code == 1
    assert out.strip().splitlines()[-1].startswith("nothing to compare: all 2 trials are invalid. Close other programs")


def test_one_valid_trial_is_a_result(run: Run, home: Path) -> None:
    ledger = write_sweep(home, {1: [50.0], 10: [40.0]})
    first = ledger.sweep("c0ffee00").trials[0]
    assert first.scorecard is not None
    ledger.end_trial(
        "c0ffee00", first.trial.trial_id, "done", scorecard=first.scorecard.model_copy(update={"valid": False})
    )
    code, out, _ = run(*RESUME, "--keep-invalid")

    assert code == 0
    assert "nothing to compare" not in out


def test_keeping_invalid_trials_means_nothing_for_a_new_sweep(run: Run) -> None:
    code, _, err = run("sweep", "--keep-invalid", "--dry-run")

    assert code == 2
    assert "--keep-invalid is for --resume" in err


def test_a_plan_is_written_as_json(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The prediction itself needs Ray: tests/integration/test_simulate.py has it.
    monkeypatch.setattr(
        "orchestrator.replay.prediction.foresee",
        lambda plan: Foresight((), (tuple(plan.settings),)),
    )
    file = tmp_path / "plan.json"
    code, _, err = run("simulate", "--upscaling-speed", "1,10", "--repeat", "2", "--dry-run", "--json", str(file))
    plan = json.loads(file.read_text())

    assert code == 0, err
    assert plan["backend"] == "simulated"
    assert [(trial["settings"]["upscaling_speed"], trial["repeat"]) for trial in plan["trials"]] == [
        (1, 1),
        (10, 1),
        (1, 2),
        (10, 2),
    ]
    assert plan["prediction"]["alike"] == [["v2 speed=1 idle=5", "v2 speed=10 idle=5"]]
    assert plan["shape"]["max_workers"] == 16


def test_with_json_on_stdout_nothing_else_is_there(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orchestrator.replay.prediction.foresee", lambda plan: Foresight((), ()))
    code, out, _ = run("simulate", "--dry-run", "--json", "-")

    assert code == 0
    assert json.loads(out)["prediction"] == {"summary": [], "alike": [], "without": []}


JOB = ("--job", "python train.py")


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ((*JOB, "--backend", "simulated"), "a script can't be simulated"),
        ((*JOB, "--working-dir", "."), "there is no train.py in"),
        (JOB, "train.py needs a folder"),
        ((*JOB, "--tasks", "5"), "a job brings its own tasks: leave tasks out"),
        (("--working-dir", "."), "the command is missing, such as --job 'python train.py'"),
    ],
)
def test_a_job_that_can_not_run_ends_with_2_and_one_error(
    run: Run, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...], problem: str
) -> None:
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    code, _, err = run("sweep", *options)

    assert code == 2
    assert problem in err


def test_simulate_says_that_a_script_can_not_be_simulated(run: Run, home: Path) -> None:
    code, _, err = run("simulate", *JOB)

    assert code == 2
    assert "a script can't be simulated" in err
    assert "describe its tasks with --tasks" in err
