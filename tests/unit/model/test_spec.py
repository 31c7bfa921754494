"""A sweep as the user writes it: single values, lists, and what is refused."""

from typing import Any

import pytest
from pydantic import ValidationError

from orchestrator.model.settings import Settings
from orchestrator.model.spec import Axes, SweepSpec, WorkloadOverrides
from orchestrator.model.workload import Workload
from tests.support.strategies import NAN, NOT_A_NUMBER, NOT_FINITE


def test_an_empty_spec_is_one_trial_of_the_local_backend() -> None:
    spec = SweepSpec()

    assert ("local", 1, ("v2",), None) == (spec.backend, spec.repeat, spec.settings.autoscaler, spec.timeout_s)


@pytest.mark.parametrize(
    ("written", "read"), [(5, (5.0,)), ([1, 5, 10], (1.0, 5.0, 10.0)), ((1, 5), (1.0, 5.0)), (None, None)]
)
def test_an_axis_is_a_list_or_a_single_value(written: Any, read: tuple[float, ...] | None) -> None:
    assert read == Axes.model_validate({"upscaling_speed": written}).upscaling_speed


def test_an_axis_drops_duplicates_and_keeps_the_order() -> None:
    assert (5.0, 1.0) == Axes.model_validate({"upscaling_speed": [5, 1, 5.0, 1]}).upscaling_speed


def test_a_single_autoscaler_may_stand_without_brackets() -> None:
    assert ("v1",) == Axes.model_validate({"autoscaler": "v1"}).autoscaler


@pytest.mark.parametrize("value", [[], [NAN], [1, float("inf")], "fast", ["fast"], {}, {"from": 1}, [None], [[1]]])
def test_an_axis_refuses_what_is_no_list_of_finite_numbers(value: Any) -> None:
    with pytest.raises(ValidationError, match="upscaling_speed"):
        Axes.model_validate({"upscaling_speed": value})


def test_an_axis_refuses_more_values_than_anybody_runs() -> None:
    with pytest.raises(ValidationError, match="max_workers"):
        Axes.model_validate({"max_workers": list(range(1001))})


@pytest.mark.parametrize("wrong", [{"autoscaler": "v3"}, {"autoscaler": []}, {"speed": 1}, {"max_launch_batch": 1.5}])
def test_axes_refuse_unknown_knobs_and_wrong_types(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Axes.model_validate(wrong)


def test_there_is_an_axis_for_every_knob_of_settings() -> None:
    assert set(Settings.model_fields) == set(Axes.model_fields)


def test_a_spec_can_override_every_field_of_a_workload() -> None:
    assert set(Workload.model_fields) == set(WorkloadOverrides.model_fields)


@pytest.mark.parametrize("wrong", [{"tasks": 1.5}, {"seconds": NAN}, {"resources": {"GPU": NAN}}, {"task": 5}])
def test_workload_overrides_refuse_unknown_keys_and_wrong_types(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        WorkloadOverrides.model_validate(wrong)


@pytest.mark.parametrize("repeat", [0, -1, 1001, 1.5, NAN, "often", None])
def test_repeat_refuses_what_is_no_count_up_to_a_thousand(repeat: Any) -> None:
    with pytest.raises(ValidationError, match="repeat"):
        SweepSpec.model_validate({"repeat": repeat})


@pytest.mark.parametrize("timeout_s", [*NOT_FINITE, 0, -5, 7 * 86_400 + 1, *NOT_A_NUMBER])
def test_a_timeout_refuses_what_is_no_duration_up_to_a_week(timeout_s: Any) -> None:
    with pytest.raises(ValidationError, match="timeout_s"):
        SweepSpec.model_validate({"timeout_s": timeout_s})


@pytest.mark.parametrize(
    "wrong",
    [
        {"backend": ""},
        {"fit": "maybe"},
        {"order": "alphabetical"},
        {"isolation": "total"},
        {"seed": "dice"},
        {"seed": 0.5},
        {"name": "n" * 201},
        {"settings": None},
        {"workload": []},
        {"setings": {}},
    ],
)
def test_a_spec_refuses_unknown_words_keys_and_types(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        SweepSpec.model_validate(wrong)


def test_a_mistake_deep_in_a_spec_is_named_by_its_path() -> None:
    with pytest.raises(ValidationError) as refused:
        SweepSpec.model_validate({"settings": {"upscaling_sped": 5}})

    assert ("settings", "upscaling_sped") == refused.value.errors()[0]["loc"]


def test_a_spec_survives_json() -> None:
    spec = SweepSpec(settings=Axes(upscaling_speed=(1, 5)), workload=WorkloadOverrides(tasks=48), repeat=3)

    assert spec == SweepSpec.model_validate_json(spec.model_dump_json())
