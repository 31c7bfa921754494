"""The `simulated` backend: trials in virtual time, with Ray's own autoscaler code."""

from collections.abc import Callable, Sequence
from pathlib import Path

from orchestrator.backends.base import Executor, Recording
from orchestrator.backends.simulated.executors import RunAhead
from orchestrator.metrics.discovery import Target
from orchestrator.model.events import parse_event
from orchestrator.model.trial import Trial
from orchestrator.observer.observer import Observer
from orchestrator.trace.file import TraceWriter

# Virtual time is cheap, but a workload that can never finish must end all the same.
_DAY_S = 86_400.0


def default_timeout_s(trial: Trial) -> float:
    """Return the virtual seconds that the tasks may take: ten times the need of a single node, plus a day."""
    slowest = min((worker.cpus for worker in trial.shape.launchable if worker.cpus), default=1.0)
    workload = trial.workload
    return 10 * max(workload.cpu_seconds / slowest, workload.longest_s) + workload.span_s + _DAY_S


class SimulatedBackend:
    """Needs no cluster and leaves nothing behind. `timeout_s` is in virtual seconds.

    The executor that `start_executor` starts records expected trials ahead; see `RunAhead` for `lazy`. Each trace is
    the same with and without it.
    """

    name = "simulated"
    reproducible = True
    observer: Observer | None = None
    left: Sequence[str] = ()

    def __init__(
        self,
        *,
        timeout_s: float | None = None,
        start_executor: Callable[[], Executor] | None = None,
        lazy: bool = False,
    ) -> None:
        self._timeout_s = timeout_s
        self._ahead = RunAhead(start_executor, self._timeout, lazy=lazy)

    def expect(self, trials: Sequence[Trial]) -> None:
        """See `Backend.expect`."""
        self._ahead.expect(trials)

    def run(self, trial: Trial, trace: TraceWriter, log_path: Path) -> None:
        """See `Backend.run`; there is no job, so nothing is written to `log_path`."""
        if (recording := self._ahead.recording(trial)) is not None:
            _write(recording, trace)
            return
        from orchestrator.simulator.simulation import simulate

        with self._ahead.here():
            simulate(trial, trace.emit, timeout_s=self._timeout(trial))

    def _timeout(self, trial: Trial) -> float:
        return self._timeout_s or default_timeout_s(trial)

    def targets(self) -> list[Target]:
        """See `Backend.targets`: there is nothing to scrape."""
        return []

    def close(self) -> None:
        """End the executor."""
        self._ahead.close()


def _write(recording: Recording, trace: TraceWriter) -> None:
    for line in recording.events:
        trace.emit(parse_event(line))
    if recording.failure is not None:
        raise recording.failure
