"""What few repeats can and can't tell: intervals cover, real differences are found, chance ones are not.

The rates are counted over the seeds 0 to 199. Where a method promises a rate exactly, chance alone moves such a count:
it must then lie within what a binomial distribution of that rate leaves 99 % of counts.
"""

import math
import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from orchestrator.analysis.sweep.statistics import (
    Difference,
    Drift,
    Interval,
    compare,
    drift,
    holm,
    median_interval,
    outliers,
    repeats_needed,
)

SEEDS = 200

seconds = st.floats(0, 1e6).map(lambda value: round(value, 3))
whole_seconds = st.integers(0, 10**6)  # exact sums: permutations that tie do so without rounding


def bounds(found: Interval | Difference) -> tuple[float, float]:
    assert found.low is not None
    assert found.high is not None
    return found.low, found.high


def alarms(shift: float, *, paired: bool) -> int:
    """In how many of the seeds a difference of `shift` standard deviations is found at 5 % with ten repeats."""
    count = 0
    for seed in range(SEEDS):
        rng = np.random.default_rng(seed)
        a, noise, common = rng.standard_normal((3, 10))
        b = 10 * common + noise + shift if paired else noise + shift
        count += compare(10 * common if paired else a, b, paired=paired).p_value <= 0.05
    return count


@pytest.fixture
def fewer_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    """A permutation test keeps its level with any number of resamples; fewer are faster."""
    monkeypatch.setattr("orchestrator.analysis.sweep.statistics._RESAMPLES", 1_999)


def test_the_module_is_imported_without_scipy() -> None:
    program = "import sys, orchestrator.analysis.sweep.statistics; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout.split()

    assert not {"scipy", "numpy"} & set(loaded)


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize(
    "function",
    [
        median_interval,
        lambda values: compare(values, [1.0]),
        lambda values: compare([1.0], values),
        holm,
        outliers,
        drift,
        lambda values: repeats_needed(values, [1.0, 2.0]),
    ],
)
def test_a_value_that_is_no_number_is_an_error(function: Callable[[list[float]], object], value: float) -> None:
    with pytest.raises(ValueError, match=r"finite|between 0 and 1"):
        function([1.0, value, 2.0, 3.0, 4.0])


# Intervals


@pytest.mark.parametrize("n", [3, 5, 10])
@pytest.mark.parametrize(("distribution", "true_median"), [("normal", 0.0), ("lognormal", 1.0)])
def test_nine_of_ten_intervals_cover_the_true_median(distribution: str, true_median: float, n: int) -> None:
    covering = 0
    for seed in range(SEEDS):
        values = np.random.default_rng(seed).standard_normal(n)
        low, high = bounds(median_interval(values if distribution == "normal" else np.exp(values)))
        covering += low <= true_median <= high

    assert covering >= 0.9 * SEEDS


def test_repeats_have_a_median_and_an_interval_around_it() -> None:
    interval = median_interval([12, 10, 11, 14, 13])

    assert (interval.median, interval.n, interval.confidence) == (12.0, 5, 0.95)
    assert bounds(interval) == pytest.approx((9.7, 14.3), abs=0.3)


def test_more_confidence_needs_a_wider_interval() -> None:
    likely, sure = (bounds(median_interval([12, 10, 11, 14, 13], confidence)) for confidence in (0.8, 0.99))

    assert sure[0] < likely[0] < likely[1] < sure[1]


@pytest.mark.parametrize("values", [[7.0], [6.0, 8.0]])
def test_one_or_two_values_have_no_interval(values: list[float]) -> None:
    assert median_interval(values) == Interval(median=7.0, low=None, high=None, n=len(values), confidence=0.95)


def test_no_values_have_no_median() -> None:
    with pytest.raises(ValueError, match="no median"):
        median_interval([])


def test_equal_values_have_an_interval_without_width() -> None:
    assert median_interval([0.1] * 5) == Interval(median=0.1, low=0.1, high=0.1, n=5, confidence=0.95)


@given(st.lists(seconds, min_size=3, max_size=12))
def test_any_interval_holds_its_median_and_is_the_same_again(values: list[float]) -> None:
    interval = median_interval(values)
    low, high = bounds(interval)

    assert low <= interval.median <= high
    assert median_interval(values) == interval


# Differences


@pytest.mark.usefixtures("fewer_resamples")
def test_a_difference_of_one_and_a_half_standard_deviations_is_found_as_often_as_a_t_test_can() -> None:
    best_possible = 0.887  # power of the two-sided t-test with ten normal values on each side: no test has more

    assert alarms(1.5, paired=False) >= binom.ppf(0.01, SEEDS, best_possible)


@pytest.mark.usefixtures("fewer_resamples")
@pytest.mark.parametrize(("shift", "paired"), [(2.0, False), (1.5, True)])
def test_a_larger_difference_or_one_between_pairs_is_found_in_nine_of_ten_cases(shift: float, paired: bool) -> None:
    assert alarms(shift, paired=paired) >= 0.9 * SEEDS


@pytest.mark.usefixtures("fewer_resamples")
@pytest.mark.parametrize("paired", [False, True])
def test_a_difference_that_is_not_there_is_found_in_one_of_twenty_cases_at_most(paired: bool) -> None:
    assert alarms(0.0, paired=paired) <= binom.ppf(0.99, SEEDS, 0.05)


def test_a_difference_has_a_size_an_interval_and_a_p_value() -> None:
    found = compare([10, 11, 12, 13, 14], [20, 21, 22, 23, 24])
    low, high = bounds(found)

    assert found.difference == 10.0
    assert found.relative == pytest.approx(10 / 12)
    assert 5 < low < 10 < high < 15
    assert found.p_value == found.smallest_p == pytest.approx(2 / math.comb(10, 5))
    assert (found.n_a, found.n_b) == (5, 5)


@given(st.lists(whole_seconds, min_size=1, max_size=6), st.lists(whole_seconds, min_size=1, max_size=6))
def test_the_other_way_round_a_difference_has_the_other_sign_and_the_same_p_value(a: list[int], b: list[int]) -> None:
    there, back = compare(a, b), compare(b, a)

    assert back.difference == -there.difference
    assert back.p_value == pytest.approx(there.p_value)
    assert there.smallest_p <= there.p_value <= 1


@pytest.mark.parametrize("paired", [False, True])
def test_two_deterministic_settings_alike_do_not_differ(paired: bool) -> None:
    assert compare([120.1] * 5, [120.1] * 5, paired=paired) == Difference(
        median_a=120.1,
        median_b=120.1,
        difference=0.0,
        relative=0.0,
        low=0.0,
        high=0.0,
        confidence=0.95,
        p_value=1.0,
        smallest_p=2 / (2**5 if paired else math.comb(10, 5)),
        n_a=5,
        n_b=5,
    )


@pytest.mark.parametrize("paired", [False, True])
def test_rounding_is_no_difference(paired: bool) -> None:
    assert compare([0.3] * 8, [0.1 + 0.2] * 8, paired=paired).p_value == 1.0


@pytest.mark.parametrize("n", [4, 5, 10])
def test_two_deterministic_settings_that_differ_are_told_from_four_repeats_on(n: int) -> None:
    found = compare([120.1] * n, [120.3] * n)

    assert found.p_value < 0.05
    assert bounds(found) == pytest.approx((0.2, 0.2))


@pytest.mark.parametrize(
    ("n_a", "n_b", "paired", "smallest"),
    [
        (1, 1, False, 1.0),
        (1, 9, False, 1.0),
        (3, 3, False, 2 / 20),
        (3, 5, False, 2 / 56),
        (10, 10, False, 2 / 10_000),
        (1, 1, True, 1.0),
        (5, 5, True, 2 / 32),
    ],
)
def test_the_smallest_p_value_says_what_so_many_repeats_can_tell(
    n_a: int, n_b: int, paired: bool, smallest: float
) -> None:
    found = compare([1.0 + i / 1000 for i in range(n_a)], [2.0 + i / 999 for i in range(n_b)], paired=paired)

    assert found.p_value == found.smallest_p == pytest.approx(smallest)


def test_pairs_are_compared_with_each_other() -> None:
    a = [10.0, 20.0, 40.0, 80.0, 160.0, 320.0]
    b = [11.0, 21.1, 41.2, 81.0, 161.1, 321.2]

    assert compare(a, b).p_value > 0.9
    assert compare(a, b, paired=True).p_value == pytest.approx(2 / 2**6)
    assert compare(a, b, paired=True).difference == pytest.approx(1.1)


def test_nothing_is_a_share_of_zero() -> None:
    assert compare([0, 0, 0], [1, 1, 1]).relative is None


def test_a_setting_without_values_cannot_be_compared() -> None:
    with pytest.raises(ValueError, match="no median"):
        compare([1.0], [])


def test_pairs_need_as_many_values_on_both_sides() -> None:
    with pytest.raises(ValueError, match="not 2 and 1"):
        compare([1.0, 2.0], [1.0], paired=True)


# Several comparisons


def test_p_values_are_adjusted_by_holm() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


def test_no_p_values_are_adjusted_to_none() -> None:
    assert holm([]) == []


@given(st.lists(st.floats(0, 1)))
def test_any_adjusted_p_values_keep_their_order_and_never_sink(p_values: list[float]) -> None:
    adjusted = holm(p_values)

    assert all(p <= q <= 1 for p, q in zip(p_values, adjusted, strict=True))
    assert [q for _, q in sorted(zip(p_values, adjusted, strict=True))] == sorted(adjusted)


# Outliers


@pytest.mark.parametrize(
    ("values", "found"),
    [
        ([], []),
        ([1, 1, 500], []),
        ([10, 11, 12, 500], [3]),
        ([-500, 10, 11, 12, 13, 500], [0, 5]),
        ([120] * 9 + [500], [9]),
        ([120] * 5, []),
        ([0.3, 0.3, 0.3, 0.1 + 0.2, 0.3], []),
        ([10, 11, 12, 13, 14], []),
        ([600.5, 600.5, 600.5, 600.5, 597.7], []),
        ([600.0, 600.0, 600.0, 600.0, 594.0], [4]),
        ([-100.0, -100.0, -100.0, -100.0, -100.5], []),
    ],
)
def test_a_value_far_from_the_others_is_an_outlier(values: list[float], found: list[int]) -> None:
    assert outliers(values) == found


# Drift


def test_a_steady_rise_is_a_drift() -> None:
    assert drift([10, 12, 14, 16, 18]) == Drift(slope_per_trial=2.0, p_value=2 / math.factorial(5), n=5)


def test_values_without_order_do_not_drift() -> None:
    found = drift([10, 14, 11, 13, 12, 10.5])

    assert found is not None
    assert found.p_value > 0.5


def test_equal_values_do_not_drift() -> None:
    assert drift([10] * 5) == Drift(slope_per_trial=0.0, p_value=1.0, n=5)


@pytest.mark.parametrize("values", [[], [1, 2, 3, 4]])
def test_fewer_than_five_trials_show_no_drift(values: list[float]) -> None:
    assert drift(values) is None


# Repeats needed


def with_spread(mean: float, deviation: float) -> list[float]:
    return [mean - deviation, mean, mean + deviation]


@pytest.mark.parametrize(
    ("differ_by", "repeats"),
    [(1.5, 8), (1.0, 17), (0.5, 64)],  # as exact calculations of the t-test's power say
)
def test_a_smaller_difference_needs_more_repeats(differ_by: float, repeats: int) -> None:
    assert repeats_needed(with_spread(50, 10), with_spread(50 + 10 * differ_by, 10)) == repeats


def test_more_comparisons_need_more_repeats() -> None:
    assert repeats_needed(with_spread(50, 10), with_spread(60, 10), alpha=0.05 / 10) == 29


@pytest.mark.parametrize(("paired", "repeats"), [(False, 4), (True, 6)])
def test_a_clear_difference_needs_as_many_repeats_as_can_reach_the_level(paired: bool, repeats: int) -> None:
    assert repeats_needed([1.0, 1.0], [2.0, 2.0], paired=paired) == repeats


def test_the_number_of_repeats_is_capped() -> None:
    assert repeats_needed(with_spread(50, 10), with_spread(50.001, 10)) == 1000
    assert repeats_needed(with_spread(50, 10), with_spread(50.1, 10), limit=40) == 40


@pytest.mark.parametrize(
    ("a", "b"), [([], []), ([1.0], [2.0, 3.0]), ([1.0, 3.0], [2.0, 2.0]), ([0.3] * 3, [0.1 + 0.2] * 3)]
)
def test_no_number_of_repeats_tells_what_does_not_differ_or_has_no_spread_yet(a: list[float], b: list[float]) -> None:
    assert repeats_needed(a, b) is None
