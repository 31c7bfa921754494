"""The autoscaler's knobs: what they may hold, what Ray makes of them, and which need a new cluster."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from orchestrator.model.settings import Settings
from tests.support.strategies import NOT_A_COUNT, NOT_A_NUMBER, NOT_FINITE, settings

SPEEDS = ("upscaling_speed", "idle_timeout_minutes", "target_utilization_fraction")
CAPS = ("max_concurrent_launches", "max_launch_batch", "update_interval_s")
LIMITS = ("min_workers", "max_workers")


@pytest.mark.parametrize("key", SPEEDS)
@pytest.mark.parametrize("value", [*NOT_FINITE, -1, 1e300, 10**400, *NOT_A_NUMBER])
def test_a_real_valued_knob_refuses_what_is_no_positive_finite_number(key: str, value: Any) -> None:
    with pytest.raises(ValidationError, match=key):
        Settings.model_validate({"autoscaler": "v1", key: value})


def test_zero_is_an_idle_timeout_but_no_speed_and_no_fraction() -> None:
    assert 0 == Settings(idle_timeout_minutes=0).idle_timeout_minutes
    for key in ("upscaling_speed", "target_utilization_fraction"):
        with pytest.raises(ValidationError, match=key):
            Settings.model_validate({"autoscaler": "v1", key: 0})


@pytest.mark.parametrize("key", [*CAPS, *LIMITS])
@pytest.mark.parametrize("value", [*NOT_A_COUNT, 10**9, 10**400])
def test_a_counting_knob_refuses_what_is_no_sensible_count(key: str, value: Any) -> None:
    with pytest.raises(ValidationError, match=key):
        Settings.model_validate({key: value})


@pytest.mark.parametrize("key", CAPS)
def test_a_cap_of_zero_would_stop_the_autoscaler_and_is_refused(key: str) -> None:
    with pytest.raises(ValidationError, match=key):
        Settings.model_validate({key: 0})


@pytest.mark.parametrize("key", ["upscaling_speed", "max_launch_batch"])
def test_a_knob_refuses_yes_and_no(key: str) -> None:
    """In YAML `upscaling_speed: on` is a boolean, and hardly meant as 1."""
    with pytest.raises(ValidationError, match=key):
        Settings.model_validate({key: True})


@pytest.mark.parametrize(
    "wrong", [{"autoscaler": "v3"}, {"autoscaler": None}, {"autoscaler": 2}, {"upscaling_sped": 1}]
)
def test_an_unknown_autoscaler_or_knob_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Settings.model_validate(wrong)


def test_settings_can_not_be_changed_once_made() -> None:
    made = Settings()

    with pytest.raises(ValidationError, match="frozen"):
        made.upscaling_speed = 5.0  # type: ignore[misc]


def test_v2_refuses_target_utilization_fraction_and_says_who_reads_it() -> None:
    with pytest.raises(ValidationError, match="only v1 reads it"):
        Settings(autoscaler="v2", target_utilization_fraction=0.8)


def test_v1_refuses_the_fraction_beside_a_speed_that_would_hide_it() -> None:
    with pytest.raises(ValidationError, match="ignores target_utilization_fraction"):
        Settings(autoscaler="v1", target_utilization_fraction=0.8, upscaling_speed=1.0)


def test_min_workers_above_max_workers_is_refused_with_both_numbers() -> None:
    with pytest.raises(ValidationError, match="min_workers 3 is above max_workers 2"):
        Settings(min_workers=3, max_workers=2)


@pytest.mark.parametrize(
    ("fraction", "speed"), [(1.0, 0.0), (0.8, 0.25), (0.5, 1.0), (0.1, 9.0), (0.001, 999.0), (0.0005, 999.0)]
)
def test_v1_turns_the_fraction_into_a_speed_as_ray_does(fraction: float, speed: float) -> None:
    """1/f − 1, with f clipped at 0.001."""
    assert speed == Settings(autoscaler="v1", target_utilization_fraction=fraction).effective_upscaling_speed


@given(st.floats(min_value=1e-9, max_value=1))
def test_the_speed_of_a_fraction_is_never_negative_and_never_above_999(fraction: float) -> None:
    speed = Settings(autoscaler="v1", target_utilization_fraction=fraction).effective_upscaling_speed

    assert speed is not None
    assert 0 <= speed <= 999


@pytest.mark.parametrize("speed", [None, 0.25, 5.0])
def test_without_a_fraction_the_effective_speed_is_the_speed(speed: float | None) -> None:
    assert speed == Settings(upscaling_speed=speed).effective_upscaling_speed


def test_the_monitors_environment_holds_the_version_and_the_three_caps() -> None:
    environment = Settings(max_concurrent_launches=7, max_launch_batch=3, update_interval_s=2).monitor_environment()
    expected = {
        "RAY_enable_autoscaler_v2": "1",
        "AUTOSCALER_MAX_CONCURRENT_LAUNCHES": "7",
        "AUTOSCALER_MAX_LAUNCH_BATCH": "3",
        "AUTOSCALER_UPDATE_INTERVAL_S": "2",
    }

    assert expected == environment


def test_v1_is_chosen_by_switching_v2_off() -> None:
    assert "0" == Settings(autoscaler="v1").monitor_environment()["RAY_enable_autoscaler_v2"]


@pytest.mark.parametrize("change", [{"autoscaler": "v1"}, *({cap: 9} for cap in CAPS)])
def test_another_version_or_cap_needs_a_new_monitor(change: dict[str, Any]) -> None:
    assert Settings().needs_new_monitor(Settings.model_validate(change))


@pytest.mark.parametrize(
    "change", [{"upscaling_speed": 5}, {"idle_timeout_minutes": 1}, {"min_workers": 1}, {"max_workers": 3}]
)
def test_what_ray_reads_at_every_update_needs_no_new_monitor(change: dict[str, Any]) -> None:
    assert not Settings().needs_new_monitor(Settings.model_validate(change))


def test_a_new_fraction_needs_no_new_monitor() -> None:
    one, other = (Settings(autoscaler="v1", target_utilization_fraction=fraction) for fraction in (0.5, 0.8))

    assert not one.needs_new_monitor(other)


@given(settings(), settings())
def test_needing_a_new_monitor_is_mutual(one: Settings, other: Settings) -> None:
    assert one.needs_new_monitor(other) == other.needs_new_monitor(one)


@given(settings())
def test_settings_survive_json(one: Settings) -> None:
    assert one == Settings.model_validate_json(one.model_dump_json())


def test_only_changed_knobs_are_listed_and_the_version_always() -> None:
    changed = Settings(upscaling_speed=5, max_launch_batch=8).changed()

    assert {"autoscaler": "v2", "upscaling_speed": 5.0, "max_launch_batch": 8} == changed


def test_default_settings_are_labelled_by_their_version() -> None:
    assert "v2" == Settings().label()


def test_the_label_is_short() -> None:
    assert "v2 idle=0.25 max_launch_batch=8" == Settings(idle_timeout_minutes=0.25, max_launch_batch=8).label()


def test_a_whole_number_is_labelled_without_a_point() -> None:
    assert "v2 speed=5 idle=0.25" == Settings(upscaling_speed=5, idle_timeout_minutes=0.25).label()
