"""The `simulated` backend: trials in virtual time, with Ray's own autoscaler code."""

from pathlib import Path

from orchestrator.model.trial import Trial
from orchestrator.observer.trace import TraceWriter

# In virtual time patience costs little; a workload that can never end must end all the same.
_DAY_S = 86_400.0


def default_timeout_s(trial: Trial) -> float:
    """How many virtual seconds the tasks may take: ten times what one node alone would need, and a day."""
    slowest = min((worker.cpus for worker in trial.shape.workers if worker.cpus), default=1.0)
    workload = trial.workload
    arrivals_s = 0.0 if workload.arrival == "burst" else workload.arrival_s
    return 10 * max(workload.cpu_seconds / slowest, workload.seconds) + arrivals_s + _DAY_S


class SimulatedBackend:
    """Needs no cluster and leaves nothing behind. `timeout_s` is in virtual seconds."""

    name = "simulated"
    reproducible = True

    def __init__(self, *, timeout_s: float | None = None) -> None:
        self._timeout_s = timeout_s

    def run(self, trial: Trial, trace: TraceWriter, log_path: Path) -> None:
        """See `Backend.run`; there is no job, so nothing is written to `log_path`."""
        from orchestrator.simulator.simulation import simulate

        simulate(trial, trace.emit, timeout_s=self._timeout_s or default_timeout_s(trial))

    def close(self) -> None:
        """There is nothing to end."""
