"""What every backend is: something that turns a trial into a trace. The rest of the program can't tell them apart."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from orchestrator.metrics.discovery import Target
from orchestrator.model.trial import Trial
from orchestrator.observer.observer import Observer
from orchestrator.trace.file import TraceWriter


class Backend(Protocol):
    """Runs trials one after another. `close` ends all that was started, whatever happened; it may be called twice."""

    name: str
    # Who watches the cluster now; None where there is none, or nothing to watch.
    observer: Observer | None
    # Whether the same trial always gives the same trace, so that nothing of the run itself may stand in it.
    reproducible: bool
    # Why something that was started may still be there: no trial fails for that, and `orchestrate clean` finds it.
    left: Sequence[str]

    def expect(self, trials: Sequence[Trial]) -> None:
        """What `run` will be asked for, in this order: a backend that can may begin with it."""
        ...

    def run(self, trial: Trial, trace: TraceWriter, log_path: Path) -> None:
        """Run one trial: what happens goes into `trace`, the workload's own output to `log_path`.

        Raises TrialFailed when the trial can't be finished; the next `run` starts from a sound state all the same.
        """
        ...

    def targets(self) -> list[Target]:
        """Where Prometheus finds what the cluster itself exports, now; it may be asked by any thread."""
        ...

    def close(self) -> None:
        """End everything that was started; what can't be ended is told in `left`."""
        ...
