"""The contract of a real Ray cluster: it starts, changes its settings while it runs, and ends with all its parts.

Nothing here assumes that the cluster shares files or a network with this machine. See `shared_files` for those that do.
"""

import contextlib
import logging
import secrets
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator.backends.live.cluster_dir import ClusterFiles
from orchestrator.backends.live.ownership import (
    LOCK_NAME,
    OWNER_NAME,
    Owner,
    remove_cluster_folder,
    unfinished_name,
)
from orchestrator.errors import ClusterFailed, OrchestrateError, SettingsNotInForce
from orchestrator.filesystem import write_atomically
from orchestrator.inputs.cluster_config import ClusterFile
from orchestrator.liveness import Lock
from orchestrator.model.cluster import ClusterShape
from orchestrator.model.fault import FaultKind
from orchestrator.model.settings import Settings
from orchestrator.observer.observer import ClusterView, HostSample, LogSources, sample_host
from orchestrator.private_files import make_private_folder
from orchestrator.rayapi.gcs import GcsView
from orchestrator.rayapi.live_settings import differences

_log = logging.getLogger(__name__)

START_TIMEOUT_S = 120.0
NODE_START_S = 5.0
_POLL_S = 0.2


@dataclass(frozen=True)
class ClusterLaunch:
    """Everything that a new cluster depends on. `shape` already carries the settings' worker limits.

    Ray's logs are kept in `logs_dir/CLUSTER` when the cluster stops, if there is such a folder.
    """

    home: Path
    cluster_file: ClusterFile
    shape: ClusterShape
    settings: Settings
    logs_dir: Path | None = None


class LiveCluster(ABC):
    """One cluster, with Ray's autoscaler on its head.

    `gcs` (host:port) and `dashboard` (URL, with the jobs API) are its addresses as seen from this machine; `inner_gcs`
    is the GCS as seen from the head. `python` runs on the head and has this package. `metrics_ports` are ports of the
    head in addition to its own as a node, by what serves them. `start_s` is the longest time that a node's start takes.
    `host_sample` measures the machine that the nodes share with this process; None if they have their own.
    `completes_gaps`: after a time without connection, logs still tell what became of nodes and tasks meanwhile.

    `folder` under the home is for this machine's own records of the cluster. The owner file in it lets other commands
    find the cluster; see `_write_owner`.
    """

    backend: str
    gcs: str
    inner_gcs: str
    dashboard: str
    python: str
    metrics_ports: Mapping[str, int]
    start_s: float = NODE_START_S
    host_sample: HostSample | None = staticmethod(sample_host)
    completes_gaps: bool = False

    def __init__(self, launch: ClusterLaunch) -> None:
        self.cluster_id = secrets.token_hex(4)
        self.folder = launch.home.resolve() / "clusters" / self.cluster_id
        self._launch = launch
        self._home = launch.home
        self._lock: Lock | None = None
        self._logs_dir = launch.logs_dir / self.cluster_id if launch.logs_dir is not None else None

    @abstractmethod
    def logs(self) -> LogSources:
        """Return new readers of the cluster's logs, for an observer."""

    def view(self) -> ClusterView:
        """Return a view of the cluster's GCS. Raises ClusterFailed if no GCS answers."""
        try:
            return GcsView(self.gcs)
        except ConnectionError as error:
            raise ClusterFailed(f"the GCS of the cluster doesn't answer: {error}") from error

    @abstractmethod
    def apply_settings(self, shape: ClusterShape, settings: Settings) -> None:
        """Hand settings to the running autoscaler, which takes them over at one of its next updates."""

    @abstractmethod
    def live_settings(self) -> dict[str, Any] | None:
        """Return the settings that the running autoscaler last reported; None before its first update."""

    @abstractmethod
    def begin_trial(self, trial_id: str, seed: int) -> None:
        """Count launches for this trial from now on: their random latencies and refusals follow from its seed."""

    @abstractmethod
    def check_alive(self) -> None:
        """Raise ClusterFailed if the head, or one of its processes such as Ray's monitor, has ended."""

    @abstractmethod
    def stop(self) -> None:
        """End every part of the cluster, and remove `folder`; safe to call twice."""

    @abstractmethod
    def _last_words(self) -> str:
        """Return the last messages of head and monitor."""

    def inject(self, kind: FaultKind, node: str) -> None:
        """Inject a fault, see `faults.injector.InjectableCluster`. Plans ask a backend only for possible faults."""
        raise ClusterFailed(f"the {self.backend} backend can't cause a {kind}")

    def recover(self, kind: FaultKind, node: str) -> None:  # noqa: B027 - without faults there is nothing to undo
        """Undo a fault that lasts."""

    def wait_for_settings(self, shape: ClusterShape, settings: Settings, timeout_s: float) -> dict[str, Any]:
        """Wait until the autoscaler reports `settings`; return its report. Raises SettingsNotInForce."""
        deadline = time.monotonic() + timeout_s
        while True:
            self.check_alive()
            reported = self.live_settings() or {}
            wrong = differences(reported, settings, shape)
            if not wrong:
                return reported
            if time.monotonic() > deadline:
                raise SettingsNotInForce(
                    f"the autoscaler didn't take the settings over within {timeout_s:g} s: {'; '.join(wrong)}",
                    self._where_logs_are(),
                )
            time.sleep(_POLL_S)

    # For subclasses

    @contextlib.contextmanager
    def _starting(self) -> Iterator[None]:
        """Stop the cluster if its start fails. The error of the start is raised, with that of the stop as a note."""
        try:
            yield
        except BaseException as error:
            try:
                self.stop()
            except OrchestrateError as left:
                _log.warning("the cluster that didn't start can't be removed", exc_info=True)
                error.add_note(left.message)
            raise

    def _make_folder(self, scratch: str = "") -> None:
        """Make `folder` for this user only, with its owner in it and its lock held.

        It gets its name last: no moment leaves a folder of which `orchestrate clean` can't tell that it is ours.
        """
        partial = self.folder.with_name(unfinished_name(self.cluster_id))
        make_private_folder(partial)
        self._lock = Lock.take(partial / LOCK_NAME)
        (partial / OWNER_NAME).write_text(self._owner(scratch).as_json())
        partial.rename(self.folder)

    def _write_owner(self, scratch: str = "") -> None:
        """Record in `folder` which process owns the cluster, and its addresses: for `status` and `clean`."""
        if self._lock is None:
            self._lock = Lock.take(self.folder / LOCK_NAME)
        write_atomically(ClusterFiles(self.folder).owner, self._owner(scratch).as_json())

    def _remove_folder(self) -> None:
        """Remove `folder`, and release its lock; safe to call twice."""
        remove_cluster_folder(self.folder)
        if self._lock is not None:
            self._lock.release()

    def _owner(self, scratch: str) -> Owner:
        return Owner.this_process(self.cluster_id, self.gcs, self.dashboard, scratch, self.backend)

    def _wait(self, ready: Callable[[], bool], part: str) -> None:
        """Wait until a part of Ray is ready. Raises ClusterFailed if it isn't within START_TIMEOUT_S."""
        deadline = time.monotonic() + START_TIMEOUT_S
        while not ready():
            self.check_alive()
            if time.monotonic() > deadline:
                raise ClusterFailed(
                    f"Ray's {part} didn't come up within {START_TIMEOUT_S:g} s: {self._last_words()}",
                    self._where_logs_are(),
                )
            time.sleep(_POLL_S)

    def _where_logs_are(self) -> str | None:
        return f"logs are kept in {self._logs_dir}" if self._logs_dir is not None else None
