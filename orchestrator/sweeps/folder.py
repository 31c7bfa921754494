"""The folder of one sweep under the home."""

from dataclasses import dataclass
from pathlib import Path

from orchestrator.logs import FILE_NAME
from orchestrator.model.trial import Trial


@dataclass
class SweepFolder:
    """The paths of a sweep's files.

    `TRIAL.jsonl` (trace), `TRIAL.log` (job), `cluster.yaml` (the cluster config as it was when the sweep was planned),
    `ray/CLUSTER/` (logs of Ray's monitor), `orchestrate.log` (our own log), `lock` (held while the sweep runs).
    """

    root: Path

    @classmethod
    def of(cls, home: Path, sweep_id: str) -> "SweepFolder":
        """Return the folder of a sweep of this home. The folder is created when something is written."""
        return cls(home / "sweeps" / sweep_id)

    def trace(self, trial: Trial) -> Path:
        """Return the path of the trial's trace."""
        return self.root / f"{trial.trial_id}.jsonl"

    def log(self, trial: Trial) -> Path:
        """Return the path of the log of the trial's job."""
        return self.root / f"{trial.trial_id}.log"

    @property
    def lock(self) -> Path:
        """The file that the process which runs the sweep keeps locked, see `orchestrator.liveness`."""
        return self.root / "lock"

    @property
    def cluster(self) -> Path:
        """The cluster config, so that a resumed sweep uses the same one."""
        return self.root / "cluster.yaml"

    @property
    def own_log(self) -> Path:
        """The log of orchestrate itself, see `orchestrator.logs`."""
        return self.root / FILE_NAME

    @property
    def ray_logs(self) -> Path:
        """Logs of Ray's monitor and the provider's journal, a folder for each cluster."""
        return self.root / "ray"
