"""Options as typed, and the spec that they stand for."""

import dataclasses
import inspect

import pytest

from orchestrator.cli.commands.simulate import simulate
from orchestrator.cli.commands.sweep import sweep
from orchestrator.cli.sweep_options import SweepOptions
from orchestrator.errors import InputError
from orchestrator.lab.overrides import spec_document
from orchestrator.model.fault import Fault

# Options of `sweep` without a meaning in virtual time, and options of `simulate` alone.
REAL_TIME_ONLY = {"backend", "fit", "isolation", "annotate_url", "with_stack"} | {
    "metrics_port",
    "metrics_host",
    "metrics_token_file",
    "working_dir",
    "runtime_env",
    "max_cost",
    "yes",
}
SIMULATE_ONLY = {"optimise", "candidates", "workload_from", "scale_load", "between", "only_shape"}


def test_options_become_a_nested_document() -> None:
    options = SweepOptions(
        upscaling_speed=["1,10"], task_seconds=3.0, task_resources=["Graviton=0.1"], fault=["kill@20"], timeout="15m"
    )

    assert spec_document(options.spec_overrides()) == {
        "settings": {"upscaling_speed": [1.0, 10.0]},
        "workload": {"seconds": 3.0, "resources": {"Graviton": 0.1}, "faults": [Fault.model_validate("kill@20")]},
        "timeout_s": 900.0,
    }


def test_no_options_are_an_empty_document() -> None:
    assert spec_document(SweepOptions(fault=[], set_=[]).spec_overrides()) == {"settings": {}, "workload": {}}


@pytest.mark.parametrize("given", [["1", "5"], ["1,5"], ["1,", "5"]])
def test_the_values_of_a_repeated_option_add_up(given: list[str]) -> None:
    settings = spec_document(SweepOptions(upscaling_speed=given).spec_overrides())["settings"]

    assert settings == {"upscaling_speed": [1.0, 5.0]}


def test_an_option_and_set_add_up() -> None:
    options = SweepOptions(upscaling_speed=["1"], set_=["upscaling_speed=5", "max_workers=3"])

    assert spec_document(options.spec_overrides())["settings"] == {"upscaling_speed": [1.0, 5.0], "max_workers": [3]}


@pytest.mark.parametrize("given", [[""], ["1", ""], ["", "1"], ["1,"]])
def test_an_empty_value_is_refused(given: list[str]) -> None:
    with pytest.raises(InputError, match="--upscaling-speed: an empty value"):
        SweepOptions(upscaling_speed=given).spec_overrides()


def test_sweep_and_simulate_have_the_same_options_where_both_make_sense() -> None:
    ours, theirs = (dict(inspect.signature(command).parameters) for command in (sweep, simulate))

    assert ours.keys() - theirs.keys() == REAL_TIME_ONLY
    assert theirs.keys() - ours.keys() == SIMULATE_ONLY
    alike = ours.keys() & theirs.keys() - {"job"}  # `simulate` only says why it can't run one
    assert all(ours[name].annotation == theirs[name].annotation for name in alike)
    assert {field.name for field in dataclasses.fields(SweepOptions)} <= ours.keys()
