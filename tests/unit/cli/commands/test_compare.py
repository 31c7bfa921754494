"""A gate in CI: what passes, what fails, and what can't be decided."""

import json
from pathlib import Path

import pytest
from junitparser import Error, Failure, JUnitXml, Skipped

from tests.support.command_line import Run
from tests.support.ledgers import write_sweep

SIDES = ("compare", "@last:upscaling_speed=1", "@last:upscaling_speed=10")
GATE = (*SIDES, "--fail-if", "makespan_s>+10%")


def test_a_gate_on_single_runs_is_undecided_and_ends_with_5(run: Run, home: Path) -> None:
    write_sweep(home, {1: [50.0], 10: [90.0]})
    code, out, _ = run(*GATE)

    assert code == 5
    assert "undecided: three valid trials on each side are needed; a has 1, b has 1" in out


def test_a_gate_without_a_valid_trial_is_undecided(run: Run, home: Path) -> None:
    write_sweep(home, {1: [50.0] * 5, 10: [90.0] * 5}, valid=False, invalid_because=("host saturated",))
    code, out, _ = run(*GATE)

    assert code == 5
    assert "undecided: three valid trials on each side are needed; one side has none" in out


@pytest.mark.parametrize(
    ("choice", "code", "result"), [("error", 5, Error), ("fail", 4, Failure), ("pass", 0, Skipped)]
)
def test_the_user_chooses_what_undecided_means(
    run: Run, home: Path, tmp_path: Path, choice: str, code: int, result: type
) -> None:
    write_sweep(home, {1: [50.0], 10: [90.0]})
    junit = tmp_path / "gate.xml"
    ended, _, _ = run(*GATE, "--undecided", choice, "--junit", str(junit))
    (suite,) = JUnitXml.fromfile(str(junit))
    (case,) = suite

    assert ended == code
    assert isinstance(case.result[0], result)
    assert "undecided" in case.result[0].message


def test_a_breach_counts_more_than_what_is_undecided(run: Run, home: Path) -> None:
    """Nobody knows a price, so one of the two conditions has no value."""
    write_sweep(home, {1: [50.0, 51.0, 52.0, 53.0], 10: [90.0, 91.0, 92.0, 93.0]}, cost_usd=None)
    code, out, _ = run(*GATE, "--fail-if", "cost_usd>0", "--json", "-")

    assert code == 4
    assert [check["outcome"] for check in json.loads(out)["checks"]] == ["breached", "undecided"]


def test_a_gate_that_is_kept_ends_with_0(run: Run, home: Path) -> None:
    write_sweep(home, {1: [50.0, 51.0, 52.0, 53.0], 10: [40.0, 41.0, 42.0, 43.0]})
    code, out, _ = run(*GATE)

    assert code == 0
    assert "passed" in out


def test_a_comparison_without_a_gate_ends_with_0_however_few_the_trials(run: Run, home: Path) -> None:
    write_sweep(home, {1: [50.0], 10: [90.0]})

    assert run(*SIDES)[0] == 0
