"""Keyword arguments and options as a document that is nested like a spec file."""

import numpy as np
import pytest

from orchestrator.errors import InputError
from orchestrator.lab.overrides import SpecOverrides, spec_document
from orchestrator.model.spec import SweepSpec


def test_each_value_goes_into_its_section() -> None:
    document = spec_document({"upscaling_speed": [1, 10], "tasks": 8, "repeat": 2, "seconds": None})

    assert document == {"settings": {"upscaling_speed": [1, 10]}, "workload": {"tasks": 8}, "repeat": 2}


def test_a_spec_has_every_key_that_is_typed() -> None:
    for name in SpecOverrides.__annotations__:
        assert spec_document({name: "x"}) != spec_document({})  # type: ignore[misc]


@pytest.mark.parametrize("speeds", [range(1, 4), (1, 2, 3), np.array([1.0, 2.0, 3.0]), iter([1, 2, 3])])
def test_any_sequence_of_values_can_be_tried(speeds: object) -> None:
    spec = SweepSpec.model_validate(spec_document({"upscaling_speed": speeds}))  # type: ignore[typeddict-item]

    assert spec.settings.upscaling_speed == (1.0, 2.0, 3.0)


def test_whole_numbers_of_an_array_stay_whole() -> None:
    spec = SweepSpec.model_validate(spec_document({"max_workers": np.arange(1, 3)}))  # type: ignore[typeddict-item]

    assert spec.settings.max_workers == (1, 2)


@pytest.mark.parametrize(
    ("name", "hint"),
    [("upscaling_sped", "did you mean upscaling_speed?"), ("task_seconds", "did you mean seconds?"), ("x", "it has ")],
)
def test_an_unknown_name_is_refused_with_the_nearest_one(name: str, hint: str) -> None:
    with pytest.raises(InputError, match=f"a sweep has no parameter '{name}'") as refused:
        spec_document({name: 1})  # type: ignore[misc]

    assert (refused.value.hint or "").startswith(hint)


@pytest.mark.parametrize("section", ["settings", "workload"])
def test_sections_are_no_parameters(section: str) -> None:
    with pytest.raises(InputError):
        spec_document({section: {}})  # type: ignore[misc]
