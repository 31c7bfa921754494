"""A backend whose trials go as a test says, and a small plan to run on it."""

from collections.abc import Callable, Sequence
from pathlib import Path

from orchestrator.inputs.cluster_config import ClusterFile
from orchestrator.metrics.discovery import Target
from orchestrator.model.events import Event
from orchestrator.model.spec import SweepSpec
from orchestrator.model.trial import Trial
from orchestrator.observer.observer import Observer
from orchestrator.sweeps.fit import Machine
from orchestrator.sweeps.plan import Plan, make_plan
from orchestrator.trace.file import TraceWriter
from tests.support.builders import SHAPE, baseline, sound, task

Behaviour = Callable[[Trial], None]
SOUND = sound(baseline("n0"), task("n0", 1, 11), end=20)


class PreparedBackend:
    """A backend whose trials all go the same prepared way, but that `behaviour` may raise halfway through."""

    name = "prepared"
    observer: Observer | None = None
    reproducible = False
    left: Sequence[str] = ()

    def __init__(self, behaviour: Behaviour = lambda trial: None, events: list[Event] = SOUND) -> None:
        self.behaviour, self.events = behaviour, events
        self.ran: list[Trial] = []
        self.logs: list[Path] = []
        self.closed = 0
        self.at_close: Callable[[], object] = lambda: None
        self.expected: list[Trial] = []

    def targets(self) -> list[Target]:
        return []

    def expect(self, trials: Sequence[Trial]) -> None:
        self.expected = list(trials)

    def run(self, trial: Trial, trace: TraceWriter, log_path: Path) -> None:
        self.ran.append(trial)
        self.logs.append(log_path)
        trace.emit(self.events[0])
        self.behaviour(trial)
        for event in self.events[1:]:
            trace.emit(event)

    def close(self) -> None:
        self.closed += 1
        self.at_close()


def planned(*speeds: float) -> Plan:
    spec = SweepSpec.model_validate(
        {"name": "night run", "fit": "none", "settings": {"upscaling_speed": speeds}, "workload": {"tasks": 1}}
    )
    return make_plan(spec, ClusterFile(Path("local.yaml"), {}, SHAPE, None, None), Machine(2, 2**33))
