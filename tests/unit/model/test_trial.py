"""A trial's id: the same wherever the trial is the same, another wherever anything differs."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from pydantic import BaseModel, ValidationError

from orchestrator.model.cluster import ClusterShape, NodeType
from orchestrator.model.fault import Fault
from orchestrator.model.group import Group, ResourcesRequest
from orchestrator.model.job import Job
from orchestrator.model.latency import Delay, LaunchModel, StageOverrides
from orchestrator.model.ray_latencies import RayModel
from orchestrator.model.settings import Settings
from orchestrator.model.trial import Trial
from orchestrator.model.workload import Workload
from tests.support.strategies import trials

X86 = NodeType(name="x86", arch="x86_64", resources={"CPU": 8, "Intel": 1}, min_workers=1, max_workers=8)
SHAPE = ClusterShape(head=NodeType(name="head", arch="x86_64"), workers=(X86,), max_workers=8)
TRIAL = Trial(backend="local", settings=Settings(), shape=SHAPE, workload=Workload())

CHANGES: dict[type[BaseModel], dict[str, Any]] = {
    Trial: {
        "backend": "simulated",
        "settings": Settings(autoscaler="v1"),
        "shape": SHAPE.model_copy(update={"max_workers": 7}),
        "workload": Workload(tasks=5),
        "repeat": 2,
        "seed": 1,
    },
    Settings: {
        "autoscaler": "v1",
        "upscaling_speed": 5.0,
        "idle_timeout_minutes": 0.25,
        "target_utilization_fraction": 0.5,
        "max_concurrent_launches": 11,
        "max_launch_batch": 6,
        "update_interval_s": 6,
        "min_workers": 1,
        "max_workers": 7,
    },
    ClusterShape: {
        "head": NodeType(name="boss", arch="x86_64"),
        "workers": (X86, X86.model_copy(update={"name": "arm"})),
        "max_workers": 7,
        "launch": LaunchModel(seed=1),
        "simulation": RayModel(submit_phase=0.5),
    },
    NodeType: {
        "name": "arm",
        "arch": "arm64",
        "instance_type": "m7i.2xlarge",
        "resources": {"CPU": 8.0},
        "labels": {"zone": "a"},
        "min_workers": 2,
        "max_workers": 7,
        "priority": 3,
        "idle_timeout_s": 20.0,
    },
    LaunchModel: {
        "request": Delay(mean_s=1.0),
        "boot": Delay(mean_s=1.0),
        "install": Delay(mean_s=1.0),
        "terminate": Delay(mean_s=1.0),
        "node_types": {"x86": StageOverrides(boot=Delay(mean_s=1.0))},
        "failure_rate": 0.5,
        "capacity": {"x86": 1},
        "spot_interruptions_per_hour": 1.0,
        "seed": 1,
    },
    RayModel: {
        "demand_lag": Delay(mean_s=7.0),
        "worker_start": Delay(mean_s=7.0),
        "task_overhead": Delay(mean_s=7.0),
        "drain": Delay(mean_s=7.0),
        "submit_phase": 0.5,
        "node_updaters": True,
    },
    Delay: {"distribution": "normal", "mean_s": 7.0, "sigma": 1.0, "samples": (1.0,)},
    Workload: {
        "tasks": 511,
        "seconds": 119.0,
        "cpus": 2.0,
        "arrival": "ramp",
        "arrival_s": 61.0,
        "waves": 4,
        "resources": {"Graviton": 1.0},
        "labels": {"zone": "a"},
        "kind": "burn",
        "faults": (Fault(kind="kill", at_s=20),),
        "job": Job(entrypoint="python train.py"),
        "groups": (Group(name="load", tasks=3),),
        "requests": (ResourcesRequest(at_s=5.0),),
        "observed": "10.0.0.5:6379",
    },
}


def _nouns(noun: BaseModel, *path: str | int) -> Iterator[tuple[tuple[str | int, ...], BaseModel]]:
    """Every noun inside a noun, with the path of keys to it."""
    yield path, noun
    for name in type(noun).model_fields:
        value = getattr(noun, name)
        for index, part in enumerate(value) if isinstance(value, tuple) else [(None, value)]:
            if isinstance(part, BaseModel):
                yield from _nouns(part, *path, name, *([] if index is None else [index]))


def _changed(noun: Any, path: tuple[str | int, ...], name: str, value: Any) -> Any:
    """`noun` with another value of the field `name` of the noun at `path`."""
    if not path:
        return noun.model_copy(update={name: value})
    first, *rest = path
    if isinstance(noun, tuple):
        assert isinstance(first, int)
        return (*noun[:first], _changed(noun[first], tuple(rest), name, value), *noun[first + 1 :])
    assert isinstance(first, str)
    return noun.model_copy(update={first: _changed(getattr(noun, first), tuple(rest), name, value)})


EVERY_FIELD = [
    pytest.param(path, name, id=".".join(map(str, (*path, name))))
    for path, noun in _nouns(TRIAL)
    for name in type(noun).model_fields
    if name != "arrival_parameters"  # none of our patterns has any; see test_registries
]


@pytest.mark.parametrize(("path", "name"), EVERY_FIELD)
def test_every_field_of_every_noun_in_a_trial_changes_its_id(path: tuple[str | int, ...], name: str) -> None:
    """A new field without an entry in `CHANGES` fails here, so that none is forgotten in the id."""
    noun = dict(_nouns(TRIAL))[path]
    other = _changed(TRIAL, path, name, CHANGES[type(noun)][name])

    assert TRIAL.trial_id != other.trial_id


def test_the_id_of_a_job_depends_on_its_command_and_its_files_and_not_on_where_they_are() -> None:
    def id_of(**job: str) -> str:
        return TRIAL.replace(workload=Workload(job=Job(entrypoint="python train.py").replace(**job))).trial_id

    assert id_of() == id_of(working_dir="/somewhere/else", runtime_env="/environment.yaml")
    assert len({id_of(), id_of(content="c0ffee"), id_of(entrypoint="python other.py")}) == 3


def test_a_trial_without_faults_has_the_id_that_it_had_before_there_were_any() -> None:
    assert "5f17db685d83" == TRIAL.trial_id
    assert "faults" not in TRIAL.model_dump_json()


def test_a_trial_that_was_written_down_before_there_were_faults_is_read_as_one_without() -> None:
    document = TRIAL.model_dump(mode="json")

    assert "faults" not in document["workload"]
    assert () == Trial.model_validate(document).workload.faults


@given(trials(), trials())
def test_ids_are_equal_exactly_where_trials_are(one: Trial, other: Trial) -> None:
    assert (one == other) == (one.trial_id == other.trial_id)


@given(trials(), trials())
def test_taking_over_any_one_part_of_another_trial_changes_the_id_exactly_where_the_part_differs(
    one: Trial, other: Trial
) -> None:
    for name in Trial.model_fields:
        mixed = one.model_copy(update={name: getattr(other, name)})

        assert (getattr(one, name) == getattr(other, name)) == (one.trial_id == mixed.trial_id)


@given(trials())
def test_an_id_is_twelve_hex_digits(trial: Trial) -> None:
    assert re.fullmatch("[0-9a-f]{12}", trial.trial_id)


@given(trials())
def test_a_trial_read_back_from_json_has_the_same_id(trial: Trial) -> None:
    read = Trial.model_validate_json(trial.model_dump_json(exclude={"trial_id"}))

    assert trial == read
    assert trial.trial_id == read.trial_id


def test_a_trial_can_be_read_back_from_just_what_it_writes() -> None:
    assert TRIAL == Trial.model_validate_json(TRIAL.model_dump_json())


@pytest.mark.parametrize("hash_seed", ["0", "1", "4242"])
def test_another_process_with_another_hash_seed_gives_the_same_id(hash_seed: str) -> None:
    program = (
        "import sys; from orchestrator.model.trial import Trial;"
        "print(Trial.model_validate_json(sys.stdin.read()).trial_id)"
    )
    result = subprocess.run(
        [sys.executable, "-c", program],
        input=TRIAL.model_dump_json(exclude={"trial_id"}),
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
        capture_output=True,
        text=True,
        check=True,
    )

    assert TRIAL.trial_id == result.stdout.strip()


def test_the_order_of_keys_does_not_change_the_id() -> None:
    resources, labels = {"CPU": 8.0, "Intel": 1.0}, {"zone": "a", "tier": "gold"}
    one = X86.model_copy(update={"resources": resources, "labels": labels})
    other = X86.model_copy(
        update={"resources": dict(reversed(resources.items())), "labels": dict(reversed(labels.items()))}
    )
    ids = {
        TRIAL.model_copy(update={"shape": SHAPE.model_copy(update={"workers": (worker,)})}).trial_id
        for worker in (one, other)
    }

    assert 1 == len(ids)


def test_a_whole_number_is_the_same_trial_with_and_without_a_point() -> None:
    one, other = (
        Trial.model_validate(
            {
                "backend": "local",
                "settings": {"upscaling_speed": speed},
                "shape": SHAPE,
                "workload": {"seconds": seconds},
            }
        )
        for speed, seconds in ((5, 120), (5.0, 120.0))
    )

    assert one.trial_id == other.trial_id


@pytest.mark.parametrize("wrong", [{"repeat": 0}, {"repeat": 1.5}, {"seed": "x"}, {"backend": 1}, {"workload": None}])
def test_a_trial_refuses_wrong_values(wrong: dict[str, Any]) -> None:
    document = {**TRIAL.model_dump(exclude={"trial_id"}), **wrong}

    with pytest.raises(ValidationError):
        Trial.model_validate(document)


def test_a_trial_refuses_an_unknown_key() -> None:
    with pytest.raises(ValidationError, match="repeats"):
        Trial.model_validate({**TRIAL.model_dump(exclude={"trial_id"}), "repeats": 2})


def test_the_first_repeat_is_labelled_by_its_settings_alone() -> None:
    assert ("v2", "v2 #3") == (TRIAL.label(), TRIAL.model_copy(update={"repeat": 3}).label())
