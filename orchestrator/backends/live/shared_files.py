"""Clusters whose head shares a folder with this machine: settings, their reports, journal and logs are files in it."""

from abc import abstractmethod
from pathlib import Path
from typing import Any

from orchestrator.backends.live.cluster import ClusterLaunch, LiveCluster
from orchestrator.backends.live.cluster_dir import ClusterFiles
from orchestrator.backends.live.ray_config import render_config
from orchestrator.backends.live.settings_reports import SettingsReports
from orchestrator.filesystem import write_atomically
from orchestrator.model.cluster import ClusterShape
from orchestrator.model.settings import Settings
from orchestrator.observer.observer import LogSources
from orchestrator.trace.tail import Tail


class SharedFilesCluster(LiveCluster):
    """A cluster that talks to this machine through the files of its folder, see `ClusterFiles`.

    When it stops, the logs of Ray's monitor, the journal and the reported settings are kept, nothing else.
    """

    def __init__(self, launch: ClusterLaunch) -> None:
        super().__init__(launch)
        self.files = ClusterFiles(self.folder)
        self._reports = SettingsReports(self.files.settings)

    @property
    @abstractmethod
    def monitor_log(self) -> Path:
        """The log of Ray's monitor, as a file on this machine."""

    @abstractmethod
    def _provider(self) -> dict[str, Any]:
        """Return the `provider` section of the cluster config: the `module` of our node provider, and its own keys."""

    def logs(self) -> LogSources:
        """See `LiveCluster.logs`."""
        return LogSources(journal=Tail(self.files.journal), monitor=Tail(self.monitor_log))

    def apply_settings(self, shape: ClusterShape, settings: Settings) -> None:
        """Write the config that the autoscaler reads again at every update."""
        raw = self._launch.cluster_file.raw
        text = render_config(raw, shape, settings, self.cluster_id, self._provider())
        write_atomically(self.files.config, text)

    def live_settings(self) -> dict[str, Any] | None:
        """See `LiveCluster.live_settings`. Our node provider appends a report whenever they change."""
        return self._reports.newest()

    def begin_trial(self, trial_id: str, seed: int) -> None:
        """See `LiveCluster.begin_trial`."""
        self.files.write_trial(trial_id, seed)
