"""When tasks arrive, and how they hold a CPU."""

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.workload import stress
from orchestrator.workload.stress import arrival_offsets, hold_cpu

arrivals = st.sampled_from(["burst", "waves", "ramp", "poisson"])


def test_a_burst_arrives_at_once() -> None:
    assert arrival_offsets(3, "burst", 60.0, 3, seed=0) == [0.0, 0.0, 0.0]


def test_waves_are_equal_and_evenly_apart() -> None:
    assert arrival_offsets(6, "waves", 60.0, 3, seed=0) == [0.0, 0.0, 30.0, 30.0, 60.0, 60.0]


def test_waves_differ_by_one_task_at_most() -> None:
    assert arrival_offsets(7, "waves", 60.0, 3, seed=0) == [0.0, 0.0, 0.0, 30.0, 30.0, 60.0, 60.0]


def test_a_single_wave_is_a_burst() -> None:
    assert arrival_offsets(3, "waves", 60.0, 1, seed=0) == [0.0, 0.0, 0.0]


def test_there_are_never_more_waves_than_tasks() -> None:
    assert arrival_offsets(2, "waves", 60.0, 10, seed=0) == [0.0, 60.0]


def test_a_ramp_is_even() -> None:
    assert arrival_offsets(5, "ramp", 60.0, 3, seed=0) == [0.0, 15.0, 30.0, 45.0, 60.0]


def test_random_arrivals_have_the_mean_gap_that_was_asked_for() -> None:
    offsets = arrival_offsets(10_000, "poisson", 500.0, 3, seed=0)

    assert offsets[-1] == pytest.approx(500.0, rel=0.05)


def test_random_arrivals_come_from_the_seed() -> None:
    one, again, other = (arrival_offsets(10, "poisson", 60.0, 3, seed=seed) for seed in (1, 1, 2))

    assert one == again
    assert one != other


@pytest.mark.parametrize("arrival", ["burst", "waves", "ramp", "poisson"])
def test_all_arrive_at_once_if_there_is_no_time(arrival: str) -> None:
    assert arrival_offsets(4, arrival, 0.0, 2, seed=0) == [0.0] * 4


@given(st.integers(1, 200), arrivals, st.floats(0.001, 86_400), st.integers(1, 50), st.integers(0, 2**31))
def test_every_task_arrives_in_order_beginning_at_once(
    tasks: int, arrival: str, arrival_s: float, waves: int, seed: int
) -> None:
    offsets = arrival_offsets(tasks, arrival, arrival_s, waves, seed)

    assert len(offsets) == tasks
    assert offsets[0] == 0.0
    assert offsets == sorted(offsets)
    assert arrival == "poisson" or offsets[-1] <= arrival_s * (1 + 1e-12)


def test_burning_keeps_a_core_busy_until_the_time_is_over_and_sleeping_none(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    looked: list[float] = []

    def clock() -> float:
        looked.append(0.25 * len(looked))
        return looked[-1]

    monkeypatch.setattr(stress, "time", SimpleNamespace(sleep=slept.append, perf_counter=clock))

    hold_cpu(1.0, "burn")
    assert (slept, looked) == ([], [0.0, 0.25, 0.5, 0.75, 1.0])

    hold_cpu(1.0, "sleep")
    assert (slept, len(looked)) == ([1.0], 5)
