"""The `local` backend: head and workers are processes on this machine's loopback."""

from orchestrator.backends.live.backend import LiveBackend
from orchestrator.backends.live.cluster import ClusterLaunch
from orchestrator.backends.local.cluster import LocalCluster


class LocalBackend(LiveBackend):
    """Runs trials on clusters of processes."""

    name = "local"

    def _start_cluster(self, launch: ClusterLaunch) -> LocalCluster:
        return LocalCluster.start(launch)
