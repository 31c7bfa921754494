"""The stress job: what it may ask for, and what it adds up to."""

from typing import Any

import pytest
from hypothesis import given
from pydantic import ValidationError

from orchestrator.model.workload import MAX_TASKS, Workload
from tests.support.strategies import NOT_A_COUNT, NOT_A_NUMBER, NOT_FINITE, workloads


@pytest.mark.parametrize("key", ["tasks", "waves"])
@pytest.mark.parametrize("value", [*NOT_A_COUNT, 0, MAX_TASKS + 1, 10**400, None])
def test_a_count_refuses_what_is_no_positive_sensible_integer(key: str, value: Any) -> None:
    with pytest.raises(ValidationError, match=key):
        Workload.model_validate({key: value})


@pytest.mark.parametrize("key", ["seconds", "cpus", "arrival_s"])
@pytest.mark.parametrize("value", [*NOT_FINITE, -0.001, 1e300, 10**400, *NOT_A_NUMBER, None])
def test_a_measure_refuses_what_is_no_sensible_number(key: str, value: Any) -> None:
    with pytest.raises(ValidationError, match=key):
        Workload.model_validate({key: value})


def test_a_task_of_no_duration_is_refused() -> None:
    with pytest.raises(ValidationError, match="seconds"):
        Workload(seconds=0)


@pytest.mark.parametrize("amount", [*NOT_FINITE, 0, -1, "some", None])
def test_a_custom_resource_refuses_what_is_no_positive_amount(amount: Any) -> None:
    with pytest.raises(ValidationError, match="Graviton"):
        Workload.model_validate({"resources": {"Graviton": amount}})


def test_cpus_among_the_custom_resources_are_refused() -> None:
    with pytest.raises(ValidationError, match="CPU"):
        Workload(cpus=1, resources={"CPU": 4})


@pytest.mark.parametrize(
    "resources", [{"GPU": 0.5}, {"GPU": 2}, {"memory": 2e9}, {"GPU": 1, "memory": 1, "Intel": 0.1}]
)
def test_a_task_may_need_gpus_and_memory(resources: dict[str, float]) -> None:
    assert {"CPU": 1.0, **resources} == Workload(resources=resources).needs[0].resources


@pytest.mark.parametrize(
    ("resources", "problem"),
    [
        ({"GPU": 1.5}, "whole numbers of GPUs above 1"),
        ({"memory": 0.5}, "whole bytes"),
        ({"object_store_memory": 1e9}, "object_store_memory can't be modelled"),
    ],
)
def test_what_ray_refuses_for_a_task_is_refused(resources: dict[str, float], problem: str) -> None:
    with pytest.raises(ValidationError, match=problem):
        Workload(resources=resources)


@pytest.mark.parametrize("key", ["tasks", "seconds", "cpus"])
def test_a_workload_refuses_yes_and_no_as_numbers(key: str) -> None:
    with pytest.raises(ValidationError, match=key):
        Workload.model_validate({key: True})


@pytest.mark.parametrize("wrong", [{"arrival": "storm"}, {"kind": "spin"}, {"taks": 5}, {"labels": {"arch": 1}}])
def test_unknown_arrivals_kinds_keys_and_label_types_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Workload.model_validate(wrong)


def test_the_default_is_the_stress_job_of_the_experiment() -> None:
    default = Workload()

    assert (512, 120.0, 1.0, "burst") == (default.tasks, default.seconds, default.cpus, default.arrival)


def test_a_task_needs_its_cpus_and_its_custom_resources() -> None:
    assert {"CPU": 2.0, "Graviton": 0.5} == Workload(cpus=2, resources={"Graviton": 0.5}).needs[0].resources


@given(workloads())
def test_cpu_seconds_are_those_of_all_tasks(workload: Workload) -> None:
    assert workload.tasks * workload.seconds * workload.cpus == workload.cpu_seconds


@given(workloads())
def test_a_workload_survives_json(workload: Workload) -> None:
    assert workload == Workload.model_validate_json(workload.model_dump_json())


def test_a_burst_is_described_without_a_duration_of_arrival() -> None:
    assert "48 tasks x 5 s x 1 CPU (sleep), burst" == Workload(tasks=48, seconds=5).describe()


def test_an_arrival_over_time_and_custom_resources_are_described() -> None:
    workload = Workload(tasks=4, seconds=0.5, arrival="ramp", arrival_s=30, resources={"Graviton": 1}, kind="burn")

    assert "4 tasks x 0.5 s x 1 CPU + 1 Graviton (burn), ramp over 30 s" == workload.describe()


def test_faults_are_part_of_the_description() -> None:
    workload = Workload.model_validate({"tasks": 4, "seconds": 5, "faults": ["kill@20", "pause@30+15:x86"]})

    assert "4 tasks x 5 s x 1 CPU (sleep), burst, with kill@20, pause@30+15:x86" == workload.describe()


def test_more_faults_than_anybody_injects_are_refused() -> None:
    with pytest.raises(ValidationError, match="faults"):
        Workload.model_validate({"faults": ["kill@20"] * 101})


@given(workloads())
def test_a_description_is_one_line(workload: Workload) -> None:
    assert 1 == len(workload.describe().splitlines())
