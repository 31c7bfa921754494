"""How tasks hold a CPU."""

import json
from types import SimpleNamespace
from typing import Any

import pytest

from orchestrator.model.workload import Workload
from orchestrator.workload import stress
from orchestrator.workload.job import stress_request
from orchestrator.workload.stress import hold_cpu, members, task_options


def first(workload: Workload) -> dict[str, Any]:
    """The first group as the stress job gets it."""
    group: dict[str, Any] = json.loads(json.dumps(stress_request(workload, 0)))["groups"][0]
    return group


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


def test_gpus_and_memory_are_options_of_their_own_in_ray() -> None:
    workload = Workload(cpus=0.5, resources={"GPU": 0.5, "memory": 2e9, "Intel": 0.1}, labels={"zone": "!a"})

    assert task_options(first(workload)) == {
        "num_cpus": 0.5,
        "num_gpus": 0.5,
        "memory": 2e9,
        "resources": {"Intel": 0.1},
        "label_selector": {"zone": "!a"},
    }


def test_a_task_without_them_asks_for_nothing_but_its_cpus() -> None:
    options = task_options(first(Workload()))

    assert {name: value for name, value in options.items() if value is not None} == {"num_cpus": 1.0}


@pytest.mark.parametrize(
    "group",
    [
        {"tasks": 5, "seconds": 3, "arrival": "ramp", "arrival_s": 8},
        {"tasks": 5, "seconds": {"distribution": "lognormal", "mean_s": 3, "sigma": 1}, "arrival": "poisson"},
        {"actors": 5, "seconds": {"distribution": "empirical", "samples": [1, 2, 3]}},
    ],
)
def test_the_job_submits_what_the_simulator_submits(group: dict[str, Any]) -> None:
    workload = Workload.model_validate({"groups": [{"name": "a", **group}]})

    assert members(first(workload), 7) == workload.work[0].members(7)
