"""A sweep spec from a file and from flags: the same model, and every fault is named with file and key."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from orchestrator.errors import InputError, SpecError
from orchestrator.inputs.sweep_spec import read_spec
from orchestrator.model.spec import Axes, SweepSpec, WorkloadOverrides

Write = Callable[[str], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def written(text: str) -> Path:
        path = tmp_path / "sweep.yaml"
        path.write_text(text)
        return path

    return written


def read(path: Path | None, flags: dict[str, Any]) -> SweepSpec:
    return read_spec(path, flags, ("local", "docker", "simulated"))


def refusal(path: Path | None, flags: dict[str, Any] | None = None) -> str:
    """The one line with which the spec is refused, without the folder's name."""
    with pytest.raises(InputError) as refused:
        read(path, flags or {})

    assert refused.value.exit_code == 2
    assert len(refused.value.message.splitlines()) == 1
    assert isinstance(refused.value, SpecError) == (path is not None)
    return refused.value.message.replace(str(path), path.name if path else "")


WHOLE = """
name: night run
backend: local
cluster: cluster/local.yaml
fit: none
settings:
  autoscaler: [v1, v2]
  upscaling_speed: [1, 5, 10]
  idle_timeout_minutes: 0.25
  max_workers: 4
workload:
  tasks: 48
  seconds: 5
  arrival: ramp
  resources: {Intel: 0.1}
repeat: 5
order: random
seed: 7
isolation: fresh
timeout_s: 900
"""


def test_a_whole_file_is_read(write: Write) -> None:
    spec = read(write(WHOLE), {})

    assert spec == SweepSpec(
        name="night run",
        cluster="cluster/local.yaml",
        fit="none",
        settings=Axes(
            autoscaler=("v1", "v2"), upscaling_speed=(1, 5, 10), idle_timeout_minutes=(0.25,), max_workers=(4,)
        ),
        workload=WorkloadOverrides(tasks=48, seconds=5, arrival="ramp", resources={"Intel": 0.1}),
        repeat=5,
        order="random",
        seed=7,
        isolation="fresh",
        timeout_s=900,
    )


def test_without_a_file_and_flags_all_is_default() -> None:
    assert read(None, {}) == SweepSpec()


def test_a_spec_is_the_same_from_flags_as_from_a_file(write: Write) -> None:
    flags = {"settings": {"upscaling_speed": [1.0, 5.0]}, "workload": {"tasks": 48}, "repeat": 2}

    assert read(None, flags) == read(
        write("{settings: {upscaling_speed: [1, 5]}, workload: {tasks: 48}, repeat: 2}"), {}
    )


def test_flags_stand_above_the_file_key_by_key(write: Write) -> None:
    flags = {"settings": {"upscaling_speed": [2.0]}, "workload": {"tasks": 9}, "repeat": 3}
    spec = read(write(WHOLE), flags)

    assert spec.settings.upscaling_speed == (2.0,)
    assert spec.settings.autoscaler == ("v1", "v2")
    assert (spec.workload.tasks, spec.workload.seconds) == (9, 5)
    assert (spec.repeat, spec.seed) == (3, 7)


def test_a_flag_that_was_not_given_changes_nothing(write: Write) -> None:
    path = write(WHOLE)
    flags = {"name": None, "settings": {"upscaling_speed": None}, "workload": {"tasks": None}, "repeat": None}

    assert read(path, flags) == read(path, {})


def test_a_single_value_is_an_axis_of_one(write: Write) -> None:
    spec = read(write("{settings: {upscaling_speed: 5, autoscaler: v1}}"), {})

    assert spec.settings.upscaling_speed == (5.0,)
    assert spec.settings.autoscaler == ("v1",)


def test_a_value_that_stands_twice_on_an_axis_is_tried_once(write: Write) -> None:
    assert read(write("settings: {upscaling_speed: [5, 1, 5.0]}"), {}).settings.upscaling_speed == (5.0, 1.0)


@pytest.mark.parametrize(
    ("text", "begin"),
    [
        # keys
        ("upscaling_speed: 1", "sweep.yaml: upscaling_speed: unknown key"),
        ("settings: {upscaling_sped: 1}", "sweep.yaml: settings.upscaling_sped: unknown key"),
        ("workload: {task: 1}", "sweep.yaml: workload.task: unknown key"),
        ("1: 2", "sweep.yaml: 1: "),
        # types
        ("settings: {upscaling_speed: fast}", "sweep.yaml: settings.upscaling_speed: input should be a valid number"),
        ("settings: {upscaling_speed: {a: 1}}", "sweep.yaml: settings.upscaling_speed"),
        ("settings: {max_workers: [1, 1.5]}", "sweep.yaml: settings.max_workers: input should be a valid integer"),
        ("settings: {autoscaler: v3}", "sweep.yaml: settings.autoscaler: input should be 'v1' or 'v2', not 'v3'"),
        ("settings: 5", "sweep.yaml: settings: "),
        ("settings: [1]", "sweep.yaml: settings: "),
        ("workload: {tasks: many}", "sweep.yaml: workload.tasks: input should be a valid integer"),
        ("workload: {resources: {Intel: [1]}}", "sweep.yaml: workload.resources.Intel: "),
        ("repeat: many", "sweep.yaml: repeat: input should be a valid integer"),
        ("repeat: yes", "sweep.yaml: repeat: "),
        ("name: 5", "sweep.yaml: name: input should be a valid string, not 5"),
        ("backend: moon", "sweep.yaml: backend: there is no backend 'moon'"),
        ("order: upwards", "sweep.yaml: order: input should be 'grid' or 'random', not 'upwards'"),
        # ranges
        ("settings: {upscaling_speed: []}", "sweep.yaml: settings.upscaling_speed: "),
        ("settings: {upscaling_speed: [1, .nan]}", "sweep.yaml: settings.upscaling_speed: input should be a finite"),
        (
            "settings: {idle_timeout_minutes: .inf}",
            "sweep.yaml: settings.idle_timeout_minutes: input should be a fin",
        ),
        ("workload: {seconds: .nan}", "sweep.yaml: workload.seconds: input should be a finite number, not nan"),
        ("repeat: 0", "sweep.yaml: repeat: input should be greater than or equal to 1, not 0"),
        ("repeat: 1001", "sweep.yaml: repeat: input should be less than or equal to 1000, not 1001"),
        ("timeout_s: 0", "sweep.yaml: timeout_s: input should be greater than 0, not 0"),
        ("timeout_s: -5", "sweep.yaml: timeout_s: input should be greater than 0, not -5"),
        # faults
        ("workload: {faults: [kill]}", "sweep.yaml: workload.faults: write a fault as kill@20"),
        ("workload: {faults: kill@20}", "sweep.yaml: workload.faults: "),
        ("workload: {faults: [{kind: kill, at: 3}]}", "sweep.yaml: workload.faults.0.at: unknown key"),
        ("workload: {faults: [{kind: spot}]}", "sweep.yaml: workload.faults: spot interruptions have a rate"),
        # files
        ("", "sweep.yaml: the file is empty"),
        ("[1]", "sweep.yaml: expected keys and values, found list"),
        ("a: [", "sweep.yaml:1: not valid YAML"),
    ],
)
def test_a_fault_is_named_with_file_and_key(write: Write, text: str, begin: str) -> None:
    assert refusal(write(text)).startswith(begin)


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("settings: {upscaling_speed: 0}", "settings.upscaling_speed"),
        ("settings: {upscaling_speed: [1, -2]}", "settings.upscaling_speed"),
        ("settings: {max_workers: -1}", "settings.max_workers"),
        ("settings: {upscaling_speed: 1.0e+101}", "settings.upscaling_speed"),
        ("settings: {idle_timeout_minutes: -1}", "settings.idle_timeout_minutes"),
        ("settings: {max_concurrent_launches: 0}", "settings.max_concurrent_launches"),
        ("settings: {max_launch_batch: -1}", "settings.max_launch_batch"),
        ("settings: {update_interval_s: 0}", "settings.update_interval_s"),
        ("settings: {target_utilization_fraction: 0, autoscaler: v1}", "settings.target_utilization_fraction"),
        ("settings: {target_utilization_fraction: 1.5, autoscaler: v1}", "settings.target_utilization_fraction"),
        ("workload: {tasks: 0}", "workload.tasks"),
        ("workload: {seconds: -1}", "workload.seconds"),
        ("workload: {seconds: 0}", "workload.seconds"),
        ("workload: {cpus: -1}", "workload.cpus"),
        ("workload: {waves: 0}", "workload.waves"),
        ("workload: {arrival_s: -1}", "workload.arrival_s"),
        ("workload: {tasks: 1000000000}", "workload.tasks"),
        ("workload: {resources: {Intel: 0}}", "workload.resources.Intel"),
    ],
)
def test_a_value_out_of_its_range_is_named_with_file_and_key(write: Write, text: str, key: str) -> None:
    assert refusal(write(text)).startswith(f"sweep.yaml: {key}")


def test_a_fault_of_a_flag_is_named_by_its_key() -> None:
    assert refusal(None, {"repeat": 0}) == "repeat: input should be greater than or equal to 1, not 0"


def test_a_file_that_is_missing_is_named(tmp_path: Path) -> None:
    assert refusal(tmp_path / "none.yaml") == "none.yaml: no such file"


def test_a_fault_in_a_file_is_found_even_below_a_flag(write: Write) -> None:
    assert refusal(write("repeat: many"), {"repeat": 2}).startswith("sweep.yaml: repeat")


def test_a_fault_of_a_flag_is_not_laid_to_the_file(write: Write) -> None:
    with pytest.raises(InputError) as refused:
        read(write("repeat: 2"), {"repeat": 0})

    assert "sweep.yaml" not in refused.value.message


def test_a_value_of_any_length_is_told_in_one_short_line(write: Write) -> None:
    assert len(refusal(write(f"repeat: {'x' * 5000}"))) < 200
