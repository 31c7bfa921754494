"""Latencies as measured: each stage of each node that was launched and ran, by node type."""

import pytest

from orchestrator.analysis.trial.latencies import fitted, stage_samples
from orchestrator.model.latency import Delay, LaunchModel
from tests.support.builders import baseline, life

TRACE = [
    baseline("b"),
    *life("one", requested=0, allocated=2, installing=12, running=15),
    *life("two", requested=5, allocated=6, installing=26, running=30),
    *life("arm-one", "arm", requested=5, allocated=8, running=60),
    *life("failed", requested=5, failed=6),
]


def test_every_launch_that_ran_gives_a_sample_of_each_stage() -> None:
    assert stage_samples([TRACE])["x86"] == {"request": [2, 1], "boot": [10, 20], "install": [3, 4]}


def test_where_the_end_of_the_boot_is_unknown_all_up_to_ray_counts_as_boot() -> None:
    assert stage_samples([TRACE])["arm"] == {"request": [3], "boot": [52], "install": [0]}


def test_several_traces_are_taken_together() -> None:
    assert stage_samples([TRACE, TRACE])["x86"]["boot"] == [10, 20, 10, 20]


def test_the_fitted_model_draws_what_was_measured_and_keeps_the_rest() -> None:
    launch = LaunchModel(boot=Delay(mean_s=99), terminate=Delay(mean_s=7), seed=5)
    model = fitted(launch, ["x86", "arm"], [TRACE])

    assert {model.latencies(0, "x86", index).boot for index in range(50)} == {10, 20}
    assert {model.latencies(0, "arm", index) for index in range(5)} == {(3, 52, 0, 7)}
    assert model.seed == 5


@pytest.mark.parametrize(("traces", "said"), [([], "none"), ([[baseline("b")]], "none"), ([TRACE], "arm, x86")])
def test_traces_of_another_shape_are_refused_with_what_they_hold(traces: list[list[object]], said: str) -> None:
    with pytest.raises(ValueError, match=f"no launch of a spark was recorded there; launched were: {said}"):
        fitted(LaunchModel(), ["spark"], traces)  # type: ignore[arg-type]
