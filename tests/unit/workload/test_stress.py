"""How tasks hold a CPU."""

from types import SimpleNamespace

import pytest

from orchestrator.model.workload import Workload
from orchestrator.workload import stress
from orchestrator.workload.stress import hold_cpu, task_options


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

    assert task_options(workload.model_dump(mode="json")) == {
        "num_cpus": 0.5,
        "num_gpus": 0.5,
        "memory": 2e9,
        "resources": {"Intel": 0.1},
        "label_selector": {"zone": "!a"},
    }


def test_a_task_without_them_asks_for_nothing_but_its_cpus() -> None:
    options = task_options(Workload().model_dump(mode="json"))

    assert {name: value for name, value in options.items() if value is not None} == {"num_cpus": 1.0}
