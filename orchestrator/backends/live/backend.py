"""Run trials on real clusters: start one, run trials on it, watch it, and end it."""

import logging
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path

from orchestrator.backends.base import BackendRequest
from orchestrator.backends.live.cluster import ClusterLaunch, LiveCluster
from orchestrator.backends.live.ownership import ensure_token
from orchestrator.backends.live.trial_run import POLL_S, TrialRun, default_timeout_s, enter_phase
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
from orchestrator.trace.file import TraceWriter

_log = logging.getLogger(__name__)

_END_KNOWN_S = 10.0


class LiveBackend(ABC):
    """A backend whose trials take place in real time. A subclass starts one kind of cluster.

    It depends on `LiveCluster` alone, so it runs trials on any cluster with a GCS and a jobs API.
    """

    name: str
    reproducible = False

    def __init__(self, request: BackendRequest, *, interval_s: float = DEFAULT_INTERVAL_S) -> None:
        self._request = request
        self._interval_s = interval_s
        self._cluster: LiveCluster | None = None
        self._settings: Settings | None = None
        self.observer: Observer | None = None
        self.left: Sequence[str] = ()

    @abstractmethod
    def _start_cluster(self, launch: ClusterLaunch) -> LiveCluster:
        """Start a cluster.

        Raises ClusterFailed; if parts of the cluster can't be ended then, a note of the error says so.
        """

    def expect(self, trials: Sequence[Trial]) -> None:  # noqa: B027 - nothing to do is what it does
        """See `Backend.expect`: one cluster runs one trial at a time."""

    def run(self, trial: Trial, trace: TraceWriter, log_path: Path) -> None:
        """See `Backend.run`."""
        try:
            cluster, observer = self._ready_cluster(trial, trace)
            observer.attach(trace.emit)
            timeout_s = self._request.spec.timeout_s or default_timeout_s(trial)
            run = TrialRun(trial, trace, log_path, cluster, observer, timeout_s, self._request.home)
            run.execute()
        except TrialFailed as told:
            error = self._behind(told)
            try:
                enter_phase(trace, "failed", detail=error.message)
            finally:
                self.close()
            raise error from None
        finally:
            if self.observer is not None:
                self.observer.detach()
        if self._request.spec.isolation == "fresh" or run.leaves_helpers or self._awaits_refused_nodes():
            self.close()

    def _awaits_refused_nodes(self) -> bool:
        """Return whether v2 would count on nodes in the next trial that the cloud refused in this one."""
        latest = None if self.observer is None else self.observer.latest
        if latest is None or not latest.awaited:
            return False
        _log.info("the autoscaler still awaits nodes that were refused: %s. The cluster ends", dict(latest.awaited))
        return True

    def _behind(self, told: TrialFailed) -> TrialFailed:
        """Return the cluster's end as the reason if that came first: the jobs API falls silent before it shows."""
        deadline = time.monotonic() + (_END_KNOWN_S if isinstance(told, WorkloadFailed) else 0.0)
        while self._cluster is not None:
            try:
                self._cluster.check_alive()
            except ClusterFailed as dead:
                _log.info("the cluster has ended: %s", dead.message)
                return dead
            if time.monotonic() >= deadline:
                break
            time.sleep(POLL_S)
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
        """Return the running cluster if it can take over the trial's settings, else a new one."""
        if self._settings is not None and self._settings.needs_new_monitor(trial.settings):
            self.close()
        if self._cluster is None or self.observer is None:
            enter_phase(trace, "starting")
            authenticate(ensure_token(self._request.home))
            request = self._request
            launch = ClusterLaunch(request.home, request.cluster, trial.shape, trial.settings, request.logs_dir)
            try:
                cluster = self._cluster = self._start_cluster(launch)
            except BaseException as error:
                self.left = (*self.left, *getattr(error, "__notes__", ()))
                raise
            self.observer = Observer(
                cluster.view(),
                describe_by(trial.shape),
                logs=cluster.logs(),
                interval_s=self._interval_s,
                host=cluster.host_sample,
                completes_gaps=cluster.completes_gaps,
            )
            self.observer.start()
        self._settings = trial.settings
        return self._cluster, self.observer
