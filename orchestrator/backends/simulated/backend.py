"""The `simulated` backend: trials in virtual time, with Ray's own autoscaler code."""

import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path

from orchestrator.backends.simulated.executors import WORTH_AN_ENGINE_S, Engine, Recording
from orchestrator.metrics.discovery import Target
from orchestrator.model.events import parse_event
from orchestrator.model.trial import Trial
from orchestrator.observer.observer import Observer
from orchestrator.trace.file import TraceWriter

# In virtual time patience costs little; a workload that can never end must end all the same.
_DAY_S = 86_400.0


def default_timeout_s(trial: Trial) -> float:
    """How many virtual seconds the tasks may take: ten times what one node alone would need, and a day."""
    slowest = min((worker.cpus for worker in trial.shape.workers if worker.cpus), default=1.0)
    workload = trial.workload
    arrivals_s = 0.0 if workload.arrival == "burst" else workload.arrival_s
    return 10 * max(workload.cpu_seconds / slowest, workload.seconds) + arrivals_s + _DAY_S


class SimulatedBackend:
    """Needs no cluster and leaves nothing behind. `timeout_s` is in virtual seconds.

    Trials that it was told to `expect` are computed ahead by the engine that `start_engine` gives, if any; where
    `hesitate` is set, only if the first of them showed that this is worth it. Each trace is the same either way.
    """

    name = "simulated"
    reproducible = True
    observer: Observer | None = None
    left: Sequence[str] = ()

    def __init__(
        self,
        *,
        timeout_s: float | None = None,
        start_engine: Callable[[], Engine] | None = None,
        hesitate: bool = False,
    ) -> None:
        self._timeout_s = timeout_s
        self._start_engine = start_engine
        self._hesitate = hesitate
        self._engine: Engine | None = None
        self._expected: deque[Trial] = deque()
        self._ahead: dict[str, Future[Recording]] = {}

    def expect(self, trials: Sequence[Trial]) -> None:
        """See `Backend.expect`."""
        self._expected = deque(trials)

    def run(self, trial: Trial, trace: TraceWriter, log_path: Path) -> None:
        """See `Backend.run`; there is no job, so nothing is written to `log_path`."""
        if self._start_engine is not None and not self._hesitate and self._engine is None and self._expected:
            self._engine = self._start_engine()
        if self._engine is not None:
            self._look_ahead(self._engine)
        if trial in self._expected:
            self._expected.remove(trial)
        if (ahead := self._ahead.pop(trial.trial_id, None)) is not None:
            _write(ahead.result(), trace)
            return
        from orchestrator.simulator.simulation import simulate

        began = time.monotonic()
        try:
            simulate(trial, trace.emit, timeout_s=self._timeout(trial))
        finally:
            if (time.monotonic() - began) * len(self._expected) > WORTH_AN_ENGINE_S:
                self._hesitate = False

    def _timeout(self, trial: Trial) -> float:
        return self._timeout_s or default_timeout_s(trial)

    def _look_ahead(self, engine: Engine) -> None:
        """Keep the engine busy, and no more recordings in memory than that takes."""
        while self._expected and len(self._ahead) < 2 * engine.width:
            trial = self._expected.popleft()
            self._ahead[trial.trial_id] = engine.submit(trial, self._timeout(trial))

    def targets(self) -> list[Target]:
        """See `Backend.targets`: nothing runs that could be scraped."""
        return []

    def close(self) -> None:
        """End the engine."""
        if self._engine is not None:
            self._engine.close()
            self._engine = None


def _write(recording: Recording, trace: TraceWriter) -> None:
    for line in recording.events:
        trace.emit(parse_event(line))
    if recording.failure is not None:
        raise recording.failure
