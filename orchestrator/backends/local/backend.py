"""The `local` backend: head and workers are processes on this machine's loopback."""

from orchestrator.backends.live.backend import LiveBackend
from orchestrator.backends.local.cluster import LocalCluster
from orchestrator.model.trial import Trial


class LocalBackend(LiveBackend):
    """Runs trials on clusters of processes."""

    name = "local"

    def _start_cluster(self, trial: Trial) -> LocalCluster:
        return LocalCluster.start(self._home, self._raw, trial.shape, trial.settings, self._logs_dir)
