"""`orchestrate validate` on simulated trials, whose replay must be exact, and on what can't be validated."""

from pathlib import Path

import pytest

from orchestrator.trace.file import TraceWriter
from tests.support.orchestrate_command import Orchestrate

SWEEP = ("simulate", "--autoscaler", "v1,v2", "--upscaling-speed", "1,10", "--seed", "5")


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Orchestrate:
    command = Orchestrate(tmp_path_factory.mktemp("simulated"))
    assert command(*SWEEP).returncode == 0
    return command


def test_the_replay_of_a_simulated_trial_is_that_trial(simulated: Orchestrate) -> None:
    found = simulated.json("validate")

    assert len(found) == 4
    for trial in found:
        assert trial["launches"]["simulated"] == pytest.approx(trial["launches"]["recorded"], abs=0.01)
        for name, row in trial["quantities"].items():
            assert row["simulated"] == pytest.approx(row["recorded"], rel=1e-3, abs=0.01), name


def test_one_trial_by_id_or_by_file(simulated: Orchestrate) -> None:
    trial = simulated.json("show", "@last")["trials"][1]
    by_id = simulated("validate", trial["trial_id"])
    by_file = simulated("validate", trial["trace"])

    assert by_id.returncode == by_file.returncode == 0
    assert by_id.stdout == by_file.stdout
    assert f"trial {trial['trial_id']} and its replay" in by_id.stdout
    assert by_id.stdout.count("and its replay") == 1


def test_a_threshold_that_is_breached_is_exit_code_4(simulated: Orchestrate, tmp_path: Path) -> None:
    """The same trial, but its trace says that one node more was launched."""
    trial = simulated.json("show", "@last")["trials"][3]
    lines = Path(trial["trace"]).read_text().splitlines()
    more = [line.replace('"i-000004"', '"i-999999"') for line in lines if '"i-000004"' in line and '"node"' in line]
    doctored = tmp_path / "doctored.jsonl"
    doctored.write_text("\n".join([*lines, *more]) + "\n")

    assert simulated("validate", trial["trace"], "--within", "1").returncode == 0
    assert simulated("validate", str(doctored), "--within", "1").returncode == 4


def test_what_can_not_be_validated(simulated: Orchestrate, tmp_path: Path) -> None:
    observed, empty = tmp_path / "observed.jsonl", tmp_path / "empty.jsonl"
    with TraceWriter(observed):
        pass
    empty.touch()
    cases = {
        "no sweep or trial begins with 'f00'": ("f00",),
        "the trace holds no trial": (str(observed),),
        "no complete first line": (str(empty),),
        "--within: -1 is not a percentage": ("--within", "-1"),
        "--within: nan is not a percentage": ("--within", "nan"),
    }
    for message, arguments in cases.items():
        result = simulated("validate", *arguments)

        assert result.returncode == 2, message
        assert message in result.stderr
        assert len(result.stderr.strip().splitlines()) <= 2
