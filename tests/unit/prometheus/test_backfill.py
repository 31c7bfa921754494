"""What a push will do: which trials go where, which stay, and which are left out."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from orchestrator.errors import InputError
from orchestrator.prometheus.backfill import Plan, planned
from orchestrator.prometheus.client import InstantSeries, Prometheus
from orchestrator.prometheus.placement import Key, RecordedTrial, laid_out
from tests.support.builders import T0

NOW = T0 + 10_000
REAL = RecordedTrial("r", "real", Path("real.jsonl"), T0, T0 + 100, simulated=False)
A = RecordedTrial("s", "a", Path("a.jsonl"), T0, T0 + 100, simulated=True)
B = RecordedTrial("s", "b", Path("b.jsonl"), T0, T0 + 100, simulated=True)
TO_NOW = laid_out([A, B], now=NOW)


@dataclass(frozen=True)
class Copy:
    """Samples of a trial that a Prometheus has, and where from."""

    trial: RecordedTrial
    moved_by: float
    instance: str = "push"


class Holding(Prometheus):
    """Has these copies."""

    def __init__(self, *copies: Copy) -> None:
        super().__init__("http://nowhere")
        self._copies = copies

    def at(self, expression: str, t: float) -> list[InstantSeries]:
        found = re.search(r'\{sweep_id="(\w+)",trial_id="(\w+)"\}\[(\d+)s\]', expression)
        assert found is not None
        asked, seconds = (found[1], found[2]), float(found[3])
        return [
            {"metric": {"instance": copy.instance}, "value": (t, 1.0)}
            for copy in self._copies
            if copy.trial.key == asked
            and copy.trial.begin + copy.moved_by <= t
            and copy.trial.end + copy.moved_by > t - seconds
        ]


def plan(
    trials: Sequence[RecordedTrial],
    *copies: Copy,
    earlier: dict[Key, float] | None = None,
    end_now: bool = False,
    now: float = NOW,
) -> Plan:
    """What is planned for a Prometheus that holds these copies."""
    return planned(Holding(*copies), trials, earlier or {}, end_now=end_now, now=now)


def places(plan: Plan) -> dict[Key, float]:
    """By how much each trial is moved."""
    return {trial.key: by for trial, by in plan.placed}


def test_real_trials_keep_their_times_and_simulated_ones_end_now() -> None:
    assert places(plan([REAL, A, B])) == {REAL.key: 0.0, **TO_NOW}


def test_with_end_now_all_move() -> None:
    assert places(plan([REAL], end_now=True)) == laid_out([REAL], now=NOW)


def test_a_trial_that_was_scraped_is_left_out() -> None:
    other = replace(REAL, trial_id="other")
    found = plan([REAL, other], Copy(REAL, 0.0, "127.0.0.1:9477"))

    assert (found.scraped, places(found)) == ([REAL], {other.key: 0.0})


def test_a_trial_that_was_scraped_at_another_time_is_shown_once_more_if_that_is_asked_for() -> None:
    found = plan([REAL], Copy(REAL, 0.0, "127.0.0.1:9477"), end_now=True)

    assert places(found) == laid_out([REAL], now=NOW)


def test_what_was_pushed_stays_where_it_is() -> None:
    assert places(plan([A, B], Copy(A, TO_NOW[A.key]), Copy(B, TO_NOW[B.key]), earlier=TO_NOW, now=NOW + 60)) == TO_NOW


def test_a_push_that_broke_off_is_taken_up_at_the_same_place() -> None:
    """Also with the trials that it hadn't come to."""
    assert places(plan([A, B], Copy(A, TO_NOW[A.key]), earlier=TO_NOW, now=NOW + 60)) == TO_NOW


def test_what_the_server_has_no_more_is_laid_out_anew() -> None:
    assert places(plan([A, B], earlier=TO_NOW, now=NOW + 9e6)) == laid_out([A, B], now=NOW + 9e6)


def test_a_copy_may_be_put_behind_an_older_one_but_not_into_it() -> None:
    older = [Copy(each, TO_NOW[each.key]) for each in (A, B)]

    assert places(plan([A, B], *older, earlier=TO_NOW, end_now=True, now=NOW + 600)) == laid_out([A, B], now=NOW + 600)
    with pytest.raises(InputError, match="overlap itself") as caught:
        plan([A, B], *older, earlier=TO_NOW, end_now=True, now=NOW + 60)
    assert "omit --end-now" in str(caught.value.hint)


def test_a_trial_that_ran_again_since_is_not_put_into_the_future() -> None:
    again = replace(REAL, begin=NOW - 200, end=NOW - 100)
    earlier = laid_out([REAL], now=NOW - 1000)

    assert places(plan([again], earlier=earlier)) == {REAL.key: 0.0}


def test_trials_are_written_in_the_order_of_time() -> None:
    """So that nothing is written before the server has refused the oldest."""
    late = replace(REAL, trial_id="late", begin=T0 + 500, end=T0 + 600)

    assert [trial for trial, _ in plan([A, late, REAL]).placed] == [REAL, late, A]
