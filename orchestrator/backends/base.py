"""The contract of a backend, which turns a trial into a trace. The rest of the program can't tell backends apart."""

from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from orchestrator.errors import TrialFailed
from orchestrator.metrics.discovery import Target
from orchestrator.model.trial import Trial
from orchestrator.observer.observer import Observer
from orchestrator.trace.file import TraceWriter


class Backend(Protocol):
    """Runs trials one after another. `close` ends everything that was started; it may be called twice.

    `observer` watches the running cluster, and is None while there is nothing to watch. A `reproducible` backend gives
    the same trace for the same trial, so nothing about the run itself may be in it. `left` names what couldn't be
    ended: no trial fails for that, and `orchestrate clean` finds it.
    """

    name: str
    observer: Observer | None
    reproducible: bool
    left: Sequence[str]

    def expect(self, trials: Sequence[Trial]) -> None:
        """Announce the trials that `run` will get, in this order. A backend that can may begin with them."""
        ...

    def run(self, trial: Trial, trace: TraceWriter, log_path: Path) -> None:
        """Run one trial: write its events to `trace` and the workload's own output to `log_path`.

        Raises TrialFailed if the trial can't be finished; the next `run` then starts from a sound state all the same.
        """
        ...

    def targets(self) -> list[Target]:
        """Return the addresses at which Prometheus finds what the cluster exports now. Any thread may call it."""
        ...

    def close(self) -> None:
        """End everything that was started; add what can't be ended to `left`."""
        ...


@dataclass(frozen=True)
class Recording:
    """The events of a simulated trial as JSON lines, and the reason if it failed."""

    events: Sequence[str]
    failure: TrialFailed | None


class Executor(Protocol):
    """Records simulated trials outside this process's main thread, up to `width` at a time."""

    width: int

    def submit(self, trial: Trial, timeout_s: float) -> "Future[Recording]":
        """Begin to simulate a trial."""
        ...

    def close(self) -> None:
        """Give up what isn't done and leave nothing running. It may be called twice."""
        ...
