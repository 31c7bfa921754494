"""An arrival pattern that is registered in one place is simulated."""

from dataclasses import dataclass

import pytest

from orchestrator.model import arrivals
from orchestrator.model.arrivals import Arrival, parameter, register
from orchestrator.model.events import Event, TaskEvent
from orchestrator.simulator.simulation import simulate
from tests.support.builders import trial


def test_the_tasks_of_a_new_pattern_are_submitted_when_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrivals, "ARRIVALS", dict(arrivals.ARRIVALS))

    @register
    @dataclass(frozen=True)
    class Pairs(Arrival):
        name = "pairs"
        meaning = "two by two"
        period_s: float = parameter(30.0, "seconds between two pairs", unit="s")

        def offsets(self, tasks: int, seed: int) -> list[float]:
            return [self.period_s * (task // 2) for task in range(tasks)]

    events: list[Event] = []
    paired = trial(tasks=6, workload={"arrival": "pairs:period_s=40"}).model_copy(update={"backend": "simulated"})
    simulate(paired, events.append, timeout_s=3600)

    tasks = [event for event in events if isinstance(event, TaskEvent)]
    begin = min(event.submitted for event in tasks)
    submitted = sorted(event.submitted - begin for event in tasks for _ in range(event.count))
    assert submitted == pytest.approx([0, 0, 40, 40, 80, 80])
