"""`orchestrate compare` and `recommend` on simulated sweeps: verdicts, exit codes, JUnit, and bad input."""

import json
from pathlib import Path

import pytest
from junitparser import JUnitXml

from tests.support.orchestrate_command import Orchestrate

SMALL = ("--tasks", "64", "--set", "max_workers=4", "--repeat", "8")


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> tuple[Orchestrate, str, str]:
    """A home with two sweeps, the second with shorter tasks and another speed; and their ids."""
    command = Orchestrate(tmp_path_factory.mktemp("swept"))
    for speeds, seconds in (("1,10", "60"), ("10,20", "80")):
        result = command("simulate", *SMALL, "--upscaling-speed", speeds, "--task-seconds", seconds)
        assert result.returncode == 0, result.stderr
    new, old = (sweep["sweep_id"] for sweep in command.json("list"))
    return command, old, new


def test_a_real_difference_is_found_and_breaks_the_build(swept: tuple[Orchestrate, str, str], tmp_path: Path) -> None:
    command, old, new = swept
    junit = tmp_path / "compare.xml"
    conditions = ("--fail-if", "makespan_s>+10%", "--fail-if", "cpu_utilisation<-50%", "--junit", str(junit))
    result = command("compare", old, new, *conditions, "--json", "-")
    document = json.loads(result.stdout)
    (pair,) = document["pairs"]
    makespan = next(each for each in pair["contrasts"] if each["quantity"] == "makespan_s")

    assert result.returncode == 4, result.stderr
    assert pair["a"]["upscaling_speed"] == pair["b"]["upscaling_speed"] == 10
    assert makespan["verdict"] == "higher"
    assert makespan["difference"]["low"] > 0.1 * makespan["difference"]["median_a"]
    assert [check["breached"] for check in document["checks"]] == [True, False]
    assert any("only in" in note for note in document["unmatched"])
    (suite,) = JUnitXml.fromfile(str(junit))
    assert (suite.tests, suite.failures) == (2, 1)


def test_a_sweep_does_not_differ_from_itself(swept: tuple[Orchestrate, str, str]) -> None:
    command, old, _ = swept
    result = command("compare", old, old, "--fail-if", "makespan_s>0", "--fail-if", "cost_usd>+1%")

    assert result.returncode == 0, result.stdout
    assert "higher" not in result.stdout
    assert "lower" not in result.stdout
    assert "indistinguishable" in result.stdout


def test_settings_of_one_sweep(swept: tuple[Orchestrate, str, str]) -> None:
    command, old, _ = swept
    sides = (f"{old}:upscaling_speed=1", f"{old}:upscaling_speed=10")
    result = command("compare", *sides, "--quantity", "time_to_peak_s,makespan_s + 100*cost_usd")

    assert result.returncode == 0, result.stderr
    assert "v2 speed=1 idle=5 max_workers=4 | v2 speed=10 idle=5 max_workers=4" in result.stdout
    assert "makespan_s + 100*cost_usd" in result.stdout
    assert "scale_down_s" not in result.stdout


def test_what_can_not_be_compared(swept: tuple[Orchestrate, str, str], tmp_path: Path) -> None:
    command, old, new = swept
    trial = command.json("show", new)["trials"][-1]["trial_id"]
    cases = {
        "begins with 'nowhere'": ("nowhere", old),
        "no trial has these settings; there are v2 speed=1": (f"{old}:upscaling_speed=7", new),
        "after the colon: unknown setting 'colour'": (f"{old}:colour=red", new),
        "which is to be compared with which": (f"{old}:upscaling_speed=1", new),
        "nothing to compare": (old, f"{new}/{trial}"),
        "column 11: a condition is": (old, new, "--fail-if", "makespan_s"),
        "column 1: unknown name 'speed'": (old, new, "--fail-if", "speed>5"),
        "--quantity 'colour'": (old, new, "--quantity", "colour"),
        "can't be written": (old, new, "--junit", str(tmp_path / "nowhere" / "compare.xml")),
    }
    for message, arguments in cases.items():
        result = command("compare", *arguments)

        assert result.returncode == 2, (message, result.stdout, result.stderr)
        assert message in result.stderr
        assert len(result.stderr.strip().splitlines()) <= 2


# recommend


def test_the_recommended_setting_can_be_pasted_into_a_cluster_config(swept: tuple[Orchestrate, str, str]) -> None:
    command, old, _ = swept
    result = command("recommend", old)
    document = json.loads(command("recommend", old, "--json").stdout)
    advice = document["recommendation"]

    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith(f"take {advice['label']}\n")
    assert f"upscaling_speed: {advice['settings']['upscaling_speed']}" in result.stdout
    assert advice["cluster_config"].startswith(f"upscaling_speed: {advice['settings']['upscaling_speed']}\n")
    assert document["evidence"]["best"] == advice["label"]
    assert len(document["evidence"]["contrasts"]) == 1


def test_the_objective_is_the_users(swept: tuple[Orchestrate, str, str]) -> None:
    command, old, _ = swept
    fastest, cheapest = (
        json.loads(command("recommend", old, "--objective", wish, "--json").stdout)["evidence"]
        for wish in ("makespan", "cost_usd + 0*makespan_s")
    )
    medians = {each["label"]: each["intervals"] for each in fastest["settings"]}

    assert fastest["best"] == min(medians, key=lambda label: medians[label]["makespan_s"]["median"])
    assert cheapest["best"] == min(medians, key=lambda label: medians[label]["cost_usd"]["median"])


def test_what_can_not_be_recommended(swept: tuple[Orchestrate, str, str]) -> None:
    command, old, _ = swept
    trial = command.json("show", old)["trials"][0]["trial_id"]
    wrong_objective = command("recommend", old, "--objective", "makespan_s ** 2")
    a_trial = command("recommend", f"{old}/{trial}")

    assert (wrong_objective.returncode, a_trial.returncode) == (2, 2)
    assert "column" in wrong_objective.stderr
    assert "is a trial: a setting is recommended among several" in a_trial.stderr
