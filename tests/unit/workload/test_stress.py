"""How tasks hold a CPU."""

from types import SimpleNamespace

import pytest

from orchestrator.workload import stress
from orchestrator.workload.stress import hold_cpu


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
