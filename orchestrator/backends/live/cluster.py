"""What a live Ray cluster of any backend is: it starts, takes settings over while it runs, and ends with all it has."""

import json
import logging
import secrets
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from orchestrator.backends.live.cluster_dir import ClusterFiles
from orchestrator.backends.live.ownership import Owner
from orchestrator.backends.live.ray_config import render_config
from orchestrator.errors import ClusterFailed, SettingsNotInForce
from orchestrator.filesystem import write_atomically
from orchestrator.logs import suppressed
from orchestrator.model.cluster import ClusterShape
from orchestrator.model.fault import FaultKind
from orchestrator.model.settings import Settings
from orchestrator.rayapi.live_settings import differences
from orchestrator.trace.tail import Tail

_log = logging.getLogger(__name__)

START_TIMEOUT_S = 120.0
NODE_START_S = 5.0
_LONGEST_LINE = 100_000
_POLL_S = 0.2


class LiveCluster(ABC):
    """One cluster, with Ray's autoscaler on its head. Its folder under the home is removed when it stops.

    `gcs` (host:port) and `dashboard` (URL) are its addresses from here, `inner_gcs` that on the head; `python` runs
    there, and has this package. `metrics_ports` are ports of the head beside its own as a node, by what serves them;
    `start_s` is how many seconds a node's start takes at worst.
    Only the logs of Ray's monitor, the journal and the settings that were in force are kept, in `logs_dir/CLUSTER`, if
    a folder is given.
    """

    backend: str
    gcs: str
    inner_gcs: str
    dashboard: str
    python: str
    metrics_ports: Mapping[str, int]
    start_s: float = NODE_START_S

    def __init__(self, home: Path, raw: dict[str, Any], logs_dir: Path | None) -> None:
        self.cluster_id = secrets.token_hex(4)
        self.files = ClusterFiles(home.resolve() / "clusters" / self.cluster_id)
        self._home = home
        self._raw = raw
        self._logs_dir = logs_dir / self.cluster_id if logs_dir is not None else None
        self._reports = Tail(self.files.settings, longest=_LONGEST_LINE)
        self._in_force: dict[str, Any] | None = None

    @property
    @abstractmethod
    def monitor_log(self) -> Path:
        """The log of Ray's monitor."""

    @abstractmethod
    def check_alive(self) -> None:
        """Raises ClusterFailed when the head, or a process of it such as Ray's monitor, has ended."""

    @abstractmethod
    def stop(self) -> None:
        """End everything of the cluster and remove its files; safe to call twice."""

    @abstractmethod
    def _last_words(self) -> str:
        """What head and monitor said last."""

    @abstractmethod
    def _provider(self) -> dict[str, Any]:
        """Return the `provider` section of the cluster config: the `module` of our node provider, and what it needs."""

    # Settings

    def write_settings(self, shape: ClusterShape, settings: Settings) -> None:
        """Put settings into the file that the autoscaler reads again at every update."""
        text = render_config(self._raw, shape, settings, self.cluster_id, self._provider())
        write_atomically(self.files.config, text)

    def in_force(self) -> dict[str, Any] | None:
        """The settings that the autoscaler last reported, from its live objects; None before its first update."""
        for line in self._reports.read():
            # Jobs may write there, too.
            with suppressed(_log, "reading settings", ValueError, KeyError, TypeError, RecursionError):
                self._in_force = dict(json.loads(line)["settings"])
        return self._in_force

    def wait_for_settings(self, shape: ClusterShape, settings: Settings, timeout_s: float) -> dict[str, Any]:
        """Wait until the autoscaler has `settings` in force; returns what it has. Raises SettingsNotInForce."""
        deadline = time.monotonic() + timeout_s
        while True:
            self.check_alive()
            in_force = self.in_force() or {}
            wrong = differences(in_force, settings, shape)
            if not wrong:
                return in_force
            if time.monotonic() > deadline:
                raise SettingsNotInForce(
                    f"the autoscaler didn't take the settings over within {timeout_s:g} s: {'; '.join(wrong)}",
                    self._where_logs_are(),
                )
            time.sleep(_POLL_S)

    def begin_trial(self, trial_id: str, seed: int) -> None:
        """From now on nodes are launched for this trial, with its luck."""
        self.files.write_trial(trial_id, seed)

    def inject(self, kind: FaultKind, node: str) -> None:
        """Inject a fault, see `faults.injector.InjectableCluster`; a plan never asks this of a backend that can't."""
        raise ClusterFailed(f"the {self.backend} backend can't cause a {kind}")

    def recover(self, kind: FaultKind, node: str) -> None:  # noqa: B027 - nothing was injected
        """Let the node go on."""

    # For those who implement it

    def _write_owner(self, scratch: str = "") -> None:
        owner = Owner.this_process(self.cluster_id, self.gcs, self.dashboard, scratch, self.backend)
        write_atomically(self.files.owner, owner.as_json())

    def _wait(self, ready: Callable[[], bool], part: str) -> None:
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
