"""Runs trials on live clusters: settings in, workload through, baseline back, everything observed."""

import logging
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from orchestrator.backends.live.cluster import LiveCluster
from orchestrator.backends.live.ownership import ensure_token
from orchestrator.backends.live.trial_run import _POLL_S, _enter_phase, _Run, default_timeout_s
from orchestrator.errors import (
    ClusterFailed,
    OrchestrateError,
    TrialFailed,
    WorkloadFailed,
)
from orchestrator.metrics.discovery import Target, targets_of
from orchestrator.model.settings import Settings
from orchestrator.model.trial import Trial
from orchestrator.observer.node_tracker import describe_by
from orchestrator.observer.observer import DEFAULT_INTERVAL_S, Observer
from orchestrator.rayapi.environment import authenticate
from orchestrator.rayapi.gcs import GcsView
from orchestrator.trace.file import TraceWriter

_log = logging.getLogger(__name__)

_END_KNOWN_S = 10.0


class LiveBackend(ABC):
    """A backend whose trials take place in real time; each kind of cluster is a subclass that starts one.

    Clusters live under `home`; monitor logs are kept in `logs_dir` when one ends.
    """

    name: str
    reproducible = False

    def __init__(
        self,
        home: Path,
        raw_config: dict[str, Any],
        *,
        isolation: Literal["reuse", "fresh"] = "reuse",
        timeout_s: float | None = None,
        logs_dir: Path | None = None,
        interval_s: float = DEFAULT_INTERVAL_S,
    ) -> None:
        self._home = home
        self._raw = raw_config
        self._logs_dir = logs_dir
        self._isolation = isolation
        self._timeout_s = timeout_s
        self._interval_s = interval_s
        self._cluster: LiveCluster | None = None
        self._settings: Settings | None = None
        self.observer: Observer | None = None
        self.left: Sequence[str] = ()

    @abstractmethod
    def _start_cluster(self, trial: Trial) -> LiveCluster:
        """A cluster that runs, under the trial's shape and settings.

        Raises ClusterFailed; notes of what is raised tell what may be left.
        """

    def expect(self, trials: Sequence[Trial]) -> None:  # noqa: B027 - nothing to do is what it does
        """See `Backend.expect`: one cluster runs one trial at a time."""

    def run(self, trial: Trial, trace: TraceWriter, log_path: Path) -> None:
        """See `Backend.run`."""
        try:
            cluster, observer = self._ready_cluster(trial, trace)
            observer.attach(trace.emit)
            _Run(trial, trace, log_path, cluster, observer, self._timeout_s or default_timeout_s(trial)).execute()
        except TrialFailed as told:
            error = self._behind(told)
            try:
                _enter_phase(trace, "failed", detail=error.message)
            finally:
                self.close()
            raise error from None
        finally:
            if self.observer is not None:
                self.observer.detach()
        if self._isolation == "fresh":
            self.close()

    def _behind(self, told: TrialFailed) -> TrialFailed:
        """The cluster's own end, where a trial failed for that: its jobs API falls silent before the end is known."""
        deadline = time.monotonic() + (_END_KNOWN_S if isinstance(told, WorkloadFailed) else 0.0)
        while self._cluster is not None:
            try:
                self._cluster.check_alive()
            except ClusterFailed as dead:
                _log.info("the cluster has ended: %s", dead.message)
                return dead
            if time.monotonic() >= deadline:
                break
            time.sleep(_POLL_S)
        return told

    def targets(self) -> list[Target]:
        """See `Backend.targets`."""
        observer, cluster = self.observer, self._cluster
        return [] if observer is None or cluster is None else targets_of(observer, cluster.metrics_ports)

    def close(self) -> None:
        """End the cluster, if there is one, and keep its logs. See `Backend.close`."""
        observer, cluster = self.observer, self._cluster
        self.observer = None
        if observer is not None:
            observer.stop()
        if cluster is not None:
            try:
                cluster.stop()
            except (OrchestrateError, OSError) as error:
                _log.exception("the cluster can't be ended")
                self.left = (*self.left, str(error))
        self._cluster = self._settings = None

    def _ready_cluster(self, trial: Trial, trace: TraceWriter) -> tuple[LiveCluster, Observer]:
        """The running cluster if the trial's settings can be changed under it, else a new one."""
        if self._settings is not None and self._settings.needs_new_monitor(trial.settings):
            self.close()
        if self._cluster is None or self.observer is None:
            _enter_phase(trace, "starting")
            authenticate(ensure_token(self._home))
            try:
                cluster = self._cluster = self._start_cluster(trial)
            except BaseException as error:
                self.left = (*self.left, *getattr(error, "__notes__", ()))
                raise
            self.observer = Observer(
                _view(cluster.gcs),
                describe_by(trial.shape),
                journal=cluster.files.journal,
                monitor_log=cluster.monitor_log,
                interval_s=self._interval_s,
            )
            self.observer.start()
        self._settings = trial.settings
        return self._cluster, self.observer


def _view(address: str) -> GcsView:
    try:
        return GcsView(address)
    except ConnectionError as error:
        raise ClusterFailed(f"the GCS of the cluster doesn't answer: {error}") from error
