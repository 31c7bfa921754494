"""Step functions: exact, and the same as a naive reference."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.analysis.trial.steps import StepFunction, covered

# 0 until 10, 2 until 20, 5 until 30, 1 from then on
STEPS = StepFunction.from_changes([(10, 2), (20, 3), (30, -4)])
EMPTY = StepFunction.from_changes([])

whole = st.integers(-20, 20).map(float)
changes = st.lists(st.tuples(whole, st.integers(-5, 5).map(float)), max_size=12)
intervals = st.lists(st.tuples(whole, whole).map(lambda pair: (min(pair), max(pair))), max_size=8)


def value_at(drawn: list[tuple[float, float]], t: float) -> float:
    return sum(change for when, change in drawn if when <= t)


def test_changes_come_in_any_order() -> None:
    assert StepFunction.from_changes([(30, -4), (10, 2), (20, 3)]) == STEPS


def test_changes_at_one_time_are_one_step() -> None:
    assert StepFunction.from_changes([(10, 2), (10, -2), (10, 1)]) == StepFunction((10,), (1,))


# ∫


@pytest.mark.parametrize(
    ("start", "end", "area"),
    [
        (0, 10, 0),
        (0, 20, 20),
        (10, 20, 20),
        (15, 25, 10 + 25),
        (0, 40, 20 + 50 + 10),
        (12, 13, 2),
        (35, 45, 10),
        (20, 20, 0),
        (30, 20, 0),
    ],
)
def test_the_integral_is_the_area_below(start: float, end: float, area: float) -> None:
    assert STEPS.integral(start, end) == area


def test_the_value_before_the_first_step_counts() -> None:
    assert StepFunction((10,), (1,), before=3).integral(0, 20) == 30 + 10


def test_where_nothing_ever_changed_all_is_zero() -> None:
    assert EMPTY.integral(0, 10) == 0.0
    assert EMPTY.maximum(0, 10) == (0.0, 0)
    assert EMPTY.settles_at_most(0, 0, 10) == 0


@given(changes, whole, whole)
def test_the_integral_is_that_of_a_sum_over_unit_steps(
    drawn: list[tuple[float, float]], start: float, end: float
) -> None:
    reference = sum(value_at(drawn, t) for t in range(int(start), int(end)))

    assert StepFunction.from_changes(drawn).integral(start, end) == reference


@given(changes, whole, whole, whole)
def test_an_integral_can_be_cut_in_two(
    drawn: list[tuple[float, float]], first: float, second: float, third: float
) -> None:
    start, middle, end = sorted((first, second, third))
    steps = StepFunction.from_changes(drawn)

    assert steps.integral(start, middle) + steps.integral(middle, end) == steps.integral(start, end)


# The highest value


@pytest.mark.parametrize(
    ("start", "end", "highest", "when"),
    [
        (0, 40, 5, 20),
        (0, 19, 2, 10),
        (0, 20, 5, 20),
        (25, 40, 5, 25),
        (12, 13, 2, 12),
        (30, 40, 1, 30),
        (0, 5, 0, 0),
    ],
)
def test_the_maximum_is_found_where_it_is_first_reached(start: float, end: float, highest: float, when: float) -> None:
    assert STEPS.maximum(start, end) == (highest, when)


@given(changes, whole, whole)
def test_the_maximum_is_the_highest_of_all_whole_times(
    drawn: list[tuple[float, float]], one: float, other: float
) -> None:
    start, end = min(one, other), max(one, other)
    values = {float(t): value_at(drawn, t) for t in range(int(start), int(end) + 1)}
    highest = max(values.values())

    assert StepFunction.from_changes(drawn).maximum(start, end) == (
        highest,
        min(t for t, value in values.items() if value == highest),
    )


# Settling


@pytest.mark.parametrize(
    ("limit", "start", "end", "settled"),
    [
        (1, 15, 40, 30),
        (1, 35, 40, 35),
        (0, 15, 40, None),
        (5, 0, 40, 0),
        (2, 0, 40, 30),
        (2, 0, 18, 0),
        (2, 0, 25, None),
        (1, 15, 30, None),
        (1, 15, 30.5, 30),
    ],
)
def test_a_function_settles_when_it_stays_low_until_the_end(
    limit: float, start: float, end: float, settled: float | None
) -> None:
    assert STEPS.settles_at_most(limit, start, end) == settled


def test_a_function_that_rises_again_settles_only_afterwards() -> None:
    steps = StepFunction.from_changes([(0, 3), (10, -3), (20, 3), (30, -3)])

    assert steps.settles_at_most(0, 5, 40) == 30


@given(changes, st.integers(-5, 5).map(float), whole, whole)
def test_settling_is_what_a_search_over_all_whole_times_finds(
    drawn: list[tuple[float, float]], limit: float, one: float, other: float
) -> None:
    start, end = min(one, other), max(one, other) + 1
    times = range(int(start), int(end))
    reference = next((float(t) for t in times if all(value_at(drawn, u) <= limit for u in range(t, int(end)))), None)

    assert StepFunction.from_changes(drawn).settles_at_most(limit, start, end) == reference


# Unions


@pytest.mark.parametrize(
    ("spans", "length"),
    [
        ([], 0),
        ([(1, 3)], 2),
        ([(1, 3), (2, 5)], 4),
        ([(2, 5), (1, 3)], 4),
        ([(1, 10), (2, 3), (4, 5)], 9),
        ([(1, 2), (2, 3)], 2),
        ([(1, 2), (4, 6)], 3),
        ([(1, 2), (1, 2)], 1),
    ],
)
def test_what_intervals_cover_together_counts_once(spans: list[tuple[float, float]], length: float) -> None:
    assert covered(spans) == length


@given(intervals)
def test_coverage_is_the_number_of_unit_steps_in_any_interval(spans: list[tuple[float, float]]) -> None:
    reference = sum(1 for t in range(-20, 20) if any(start <= t < end for start, end in spans))

    assert covered(spans) == reference


@given(intervals)
def test_coverage_is_at_most_the_sum_of_all_lengths(spans: list[tuple[float, float]]) -> None:
    assert covered(spans) <= math.fsum(end - start for start, end in spans)
