"""What a user is told to take, and why nothing can be recommended."""

import json
from pathlib import Path

from tests.support.command_line import Run
from tests.support.ledgers import write_sweep

RUNS = {1: [60.0, 61.0, 62.0, 63.0], 10: [50.0, 51.0, 52.0, 53.0]}


def test_enough_runs_name_the_setting_to_take(run: Run, home: Path) -> None:
    write_sweep(home, RUNS)
    code, out, _ = run("recommend")

    assert code == 0
    assert out.splitlines()[0] == "take v2 speed=10"


def test_single_runs_decide_nothing(run: Run, home: Path) -> None:
    write_sweep(home, {1: [60.0], 10: [50.0]})
    code, out, _ = run("recommend")
    advice = json.loads(run("recommend", "--json")[1])["recommendation"]

    assert code == 0
    assert out.splitlines()[0] == "not decided: v2 speed=10 was lowest in one run"
    assert "take v2" not in out
    assert advice["decided"] is False


def test_an_unknown_price_is_the_reason_why_no_cost_is_known(run: Run, home: Path) -> None:
    prices = {"usd_per_hour": {"m7i.large": 0.1}}
    write_sweep(home, RUNS, cost_usd=None, environment={"prices": prices})
    code, out, _ = run("recommend", "--objective", "cost")

    assert code == 5
    assert "no cost is known, as there is no price for m8g.xlarge; sweep again with --prices FILE" in " ".join(
        out.split()
    )
    assert "no trial is valid" not in out


def test_without_a_valid_trial_nothing_can_be_recommended(run: Run, home: Path) -> None:
    write_sweep(home, RUNS, valid=False, invalid_because=("host saturated",))
    code, out, _ = run("recommend")

    assert code == 5
    assert out.startswith("no setting can be recommended: no trial is valid")
