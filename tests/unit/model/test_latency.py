"""Latencies: what a distribution may hold, what it samples, and that each launch has its own luck."""

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from orchestrator.model.latency import Delay, LaunchModel
from tests.support.strategies import NOT_A_NUMBER, NOT_FINITE, delays, launch_models

SAMPLES = 4000


@pytest.mark.parametrize("key", ["mean_s", "sigma"])
@pytest.mark.parametrize("value", [*NOT_FINITE, -0.001, 10**400, *NOT_A_NUMBER])
def test_a_delay_refuses_what_is_no_finite_number_of_at_least_zero(key: str, value: Any) -> None:
    with pytest.raises(ValidationError):
        Delay.model_validate({"distribution": "normal", "mean_s": 1.0, key: value})


@pytest.mark.parametrize(
    "key",
    [
        "mean_s",
        "sigma",
    ],
)
def test_a_delay_refuses_a_latency_of_longer_than_anybody_waits(key: str) -> None:
    with pytest.raises(ValidationError):
        Delay.model_validate({key: 1e308})


@pytest.mark.parametrize("wrong", [{"distribution": "weibull"}, {"distribution": None}, {"sgima": 1.0}, {"mean": 4}])
def test_a_delay_refuses_an_unknown_distribution_or_key(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Delay.model_validate({"mean_s": 1.0, **wrong})


@pytest.mark.parametrize("wrong", [{"seed": 1.5}, {"seed": "dice"}, {"boot": 5}, {"boot": None}, {"reboot": {}}])
def test_a_launch_model_refuses_wrong_types_and_unknown_keys(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        LaunchModel.model_validate(wrong)


@pytest.mark.parametrize(
    "wrong",
    [
        {"distribution": "empirical"},
        {"distribution": "empirical", "samples": [1], "mean_s": 1},
        {"samples": [1]},
        *({"distribution": "empirical", "samples": [value]} for value in (*NOT_FINITE, -1, 86_401, "fast")),
    ],
)
def test_samples_are_sensible_seconds_and_belong_to_empirical_alone(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Delay.model_validate(wrong)


def test_an_empirical_delay_expects_the_mean_of_its_samples_and_draws_only_them() -> None:
    delay, rng = Delay(distribution="empirical", samples=(1, 2, 6)), random.Random(0)

    assert 3.0 == delay.expected_s
    assert {1.0, 2.0, 6.0} == {delay.sample(rng) for _ in range(100)}


@given(delays(), st.integers())
def test_a_sample_is_never_negative(delay: Delay, seed: int) -> None:
    assert delay.sample(random.Random(seed)) >= 0


@given(delays(), st.integers())
def test_a_sample_is_a_function_of_the_generators_state(delay: Delay, seed: int) -> None:
    one, other = delay.sample(random.Random(seed)), delay.sample(random.Random(seed))

    assert one == other


@pytest.mark.parametrize(
    ("distribution", "sigma"),
    [("constant", 0.0), ("uniform", 5.0), ("normal", 3.0), ("lognormal", 0.5), ("exponential", 0.0)],
)
def test_the_mean_of_many_samples_is_the_mean_that_was_asked_for(distribution: str, sigma: float) -> None:
    delay = Delay.model_validate({"distribution": distribution, "mean_s": 10.0, "sigma": sigma})
    rng = random.Random(7)
    mean = sum(delay.sample(rng) for _ in range(SAMPLES)) / SAMPLES

    assert mean == pytest.approx(10.0, rel=0.05)


@given(st.floats(0, 900))
def test_a_constant_delay_always_takes_its_mean(mean_s: float) -> None:
    assert mean_s == Delay(mean_s=mean_s).sample(random.Random(0))


@pytest.mark.parametrize("distribution", ["uniform", "normal", "lognormal", "exponential"])
def test_a_mean_of_zero_takes_no_time_whatever_the_distribution(distribution: str) -> None:
    delay = Delay.model_validate({"distribution": distribution, "mean_s": 0, "sigma": 2})

    assert 0.0 == delay.sample(random.Random(1))


def test_a_uniform_delay_stays_within_sigma_of_its_mean() -> None:
    delay, rng = Delay(distribution="uniform", mean_s=10, sigma=2), random.Random(3)
    samples = [delay.sample(rng) for _ in range(SAMPLES)]

    assert 8 <= min(samples) < 8.1
    assert 11.9 < max(samples) <= 12


@given(launch_models(), st.integers(), st.integers(0, 50))
def test_latencies_are_the_same_at_every_call(launch: LaunchModel, seed: int, index: int) -> None:
    assert launch.latencies(seed, "arm", index) == launch.latencies(seed, "arm", index)


@given(st.permutations(range(6)))
def test_latencies_do_not_depend_on_the_order_of_launches(order: list[int]) -> None:
    launch = _varied_launch_model()
    in_order = {index: launch.latencies(1, "arm", index) for index in range(6)}

    assert in_order == {index: launch.latencies(1, "arm", index) for index in order}


def test_latencies_leave_the_global_random_state_alone() -> None:
    before = random.getstate()
    _varied_launch_model().latencies(0, "arm", 0)

    assert before == random.getstate()


@pytest.mark.parametrize(("seed", "node_type", "index"), [(1, "arm", 0), (0, "x86", 0), (0, "arm", 1)])
def test_latencies_differ_by_trial_seed_node_type_and_index(seed: int, node_type: str, index: int) -> None:
    launch = _varied_launch_model()

    assert launch.latencies(0, "arm", 0) != launch.latencies(seed, node_type, index)


def test_latencies_differ_by_the_launch_models_own_seed() -> None:
    assert _varied_launch_model(seed=0).latencies(0, "arm", 0) != _varied_launch_model(seed=1).latencies(0, "arm", 0)


def test_request_and_boot_of_one_node_are_independent_samples() -> None:
    same = Delay(distribution="exponential", mean_s=10)
    request, boot, *_ = LaunchModel(request=same, boot=same).latencies(0, "arm", 0)

    assert request != boot


def _varied_launch_model(seed: int = 0) -> LaunchModel:
    return LaunchModel(
        request=Delay(distribution="exponential", mean_s=1),
        boot=Delay(distribution="lognormal", mean_s=4, sigma=0.25),
        seed=seed,
    )
