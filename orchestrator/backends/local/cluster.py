"""A Ray cluster on this machine's loopback: start it, change its settings while it runs, end all of it."""

import contextlib
import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from orchestrator import rayapi
from orchestrator.backends.local import nodehost, processes
from orchestrator.backends.local.config import OBJECT_STORE_BYTES, ClusterAddress, render_config
from orchestrator.backends.local.files import ClusterFiles, write_atomically
from orchestrator.errors import ClusterFailed, SettingsNotInForce
from orchestrator.model.settings import Settings
from orchestrator.model.shape import ClusterShape

START_TIMEOUT_S = 120.0
START_ATTEMPTS = 2  # a port may have been taken between its choice and its use
_POLL_S = 0.2
_LONGEST_BASE = 40


def _free_ports(count: int) -> list[int]:
    """Ports that nobody listens on now; all are taken at once so that they differ."""
    sockets = [socket.create_server((rayapi.LOOPBACK, 0)) for _ in range(count)]
    ports = [taken.getsockname()[1] for taken in sockets]
    for taken in sockets:
        taken.close()
    return ports


def scratch_folder(cluster_id: str) -> Path:
    """Where Ray's temporary files and sockets go. A socket's path has at most 107 bytes: no place under the home."""
    base = tempfile.gettempdir()
    return Path(base if len(base) <= _LONGEST_BASE else "/tmp") / f"orchestrate-{cluster_id}"


def ensure_token(home: Path) -> Path:
    """The file with the token of this home's clusters, made at first use and readable by this user only."""
    home.mkdir(parents=True, exist_ok=True)
    path = home / "ray_token"
    if not path.exists():
        descriptor, partial = tempfile.mkstemp(dir=home, prefix=".ray_token")  # mkstemp lets nobody else read it
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_hex(32))
        with contextlib.suppress(FileExistsError):  # another command was first: its token counts
            os.link(partial, path)
        os.unlink(partial)
    return path


class LocalCluster:
    """One running cluster. Made by `LocalCluster.start`; `stop` removes every process and file of it.

    Only the logs of Ray's monitor and the provider's journal are kept, in `logs_dir/CLUSTER`, if a folder is given.
    """

    def __init__(self, home: Path, raw: dict[str, Any], address: ClusterAddress, logs_dir: Path | None) -> None:
        self._home = home
        self._raw = raw
        self._logs_dir = logs_dir / address.cluster_id if logs_dir is not None else None
        self._head: subprocess.Popen[str] | None = None
        self.address = address
        self.files = ClusterFiles(Path(address.cluster_dir))

    @classmethod
    def start(
        cls,
        home: Path,
        raw: dict[str, Any],
        shape: ClusterShape,
        settings: Settings,
        logs_dir: Path | None = None,
    ) -> "LocalCluster":
        """Start a head with Ray's autoscaler under these settings. Raises ClusterFailed with the reason."""
        for attempt in range(1, START_ATTEMPTS + 1):
            cluster_id = secrets.token_hex(4)
            gcs_port, dashboard_port, autoscaler_metrics, dashboard_metrics = _free_ports(4)
            address = ClusterAddress(
                cluster_id=cluster_id,
                cluster_dir=str(home / "clusters" / cluster_id),
                head_node_id=secrets.token_hex(28),
                gcs_port=gcs_port,
                dashboard_port=dashboard_port,
                scratch=str(scratch_folder(cluster_id)),
                metrics_ports={"autoscaler": autoscaler_metrics, "dashboard": dashboard_metrics},
            )
            cluster = cls(home, raw, address, logs_dir)
            try:
                cluster._start(shape, settings)
                return cluster
            except ClusterFailed:
                cluster.stop()
                if attempt == START_ATTEMPTS:
                    raise
            except BaseException:
                cluster.stop()
                raise
        raise AssertionError("unreachable")

    def _start(self, shape: ClusterShape, settings: Settings) -> None:
        address, files = self.address, self.files
        files.create()
        Path(address.scratch).mkdir(mode=0o700)  # Ray lets everybody write into the folder that it makes in this one
        owner = processes.Owner.this_process(address.cluster_id, address.gcs, address.dashboard, address.scratch)
        write_atomically(files.owner, json.dumps(asdict(owner)))
        self.write_settings(shape, settings)
        head = shape.head
        options = rayapi.NodeOptions(
            node_id=address.head_node_id,
            temp_dir=address.temp_dir,
            num_cpus=int(head.cpus),
            resources={name: amount for name, amount in head.resources.items() if name != "CPU"},
            labels=head.labels,
            object_store_memory=OBJECT_STORE_BYTES,
            gcs_port=address.gcs_port,
            dashboard_port=address.dashboard_port,
            autoscaling_config=str(files.config),
        )
        options_file = files.node_options("head")
        options_file.write_text(json.dumps(asdict(options)))
        environment = {
            **os.environ,
            **processes.marker_environment(address.cluster_id, self._home),
            **rayapi.token_environment(ensure_token(self._home)),
            **rayapi.LOOPBACK_ENVIRONMENT,
            **settings.monitor_environment(),
            "AUTOSCALER_METRIC_PORT": str(address.metrics_ports["autoscaler"]),
            "DASHBOARD_METRIC_PORT": str(address.metrics_ports["dashboard"]),
            "RAY_CLOUD_INSTANCE_ID": address.head_node_id,
            "RAY_OVERRIDE_NODE_ID_FOR_TESTING": address.head_node_id,
            "RAY_NODE_TYPE_NAME": head.name,
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_prestart_worker_first_driver": "0",
        }
        # The user's own cluster is none of this one's business, and its parts must notice when its GCS is gone.
        for name in ("RAY_ADDRESS", "RAY_AUTH_TOKEN", *rayapi.CLIENT_ENVIRONMENT):
            environment.pop(name, None)
        with files.node_log("head").open("w") as log:
            self._head = subprocess.Popen(
                [sys.executable, "-P", "-m", nodehost.__name__, str(options_file)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                text=True,
                env=environment,
                start_new_session=True,
            )
        self._wait(lambda: nodehost.READY in files.node_log("head").read_text(errors="replace").splitlines(), "head")
        self._wait(lambda: self.in_force() is not None, "autoscaler")

    def _wait(self, ready: Callable[[], bool], part: str) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        while not ready():
            self.check_alive()
            if time.monotonic() > deadline:
                raise ClusterFailed(
                    f"Ray's {part} didn't come up within {START_TIMEOUT_S:g} s: {self.last_words()}",
                    self._where_logs_are(),
                )
            time.sleep(_POLL_S)

    def check_alive(self) -> None:
        """Raises ClusterFailed when the head, or a process of it such as Ray's monitor, has ended."""
        if self._head is None or self._head.poll() is not None:
            raise ClusterFailed(f"the head of the local cluster ended: {self.last_words()}")

    def last_words(self) -> str:
        """The most telling last line of the head's and the monitor's output."""
        logs = Path(self.address.temp_dir) / "session_latest" / "logs"
        words = [self.files.last_words("head")]
        for name in ("monitor.err", "monitor.out"):
            log = logs / name
            lines = log.read_text(errors="replace").strip().splitlines() if log.exists() else []
            words += lines[-1:]
        return "; ".join(word for word in words if word and word != nodehost.READY)[:500] or "it left no message"

    @property
    def monitor_log(self) -> Path:
        """The log of Ray's monitor."""
        return Path(self.address.temp_dir) / "session_latest" / "logs" / "monitor.log"

    def write_settings(self, shape: ClusterShape, settings: Settings) -> None:
        """Put settings into the file that the autoscaler reads again at every update."""
        write_atomically(self.files.config, render_config(self._raw, shape, settings, self.address))

    def in_force(self) -> dict[str, Any] | None:
        """The settings that the autoscaler last reported, from its live objects; None before its first update."""
        latest = None
        for entry in self.files.read_journal():
            if entry.get("event") == "settings":
                latest = entry["settings"]
        return latest

    def wait_for_settings(self, shape: ClusterShape, settings: Settings, timeout_s: float) -> dict[str, Any]:
        """Wait until the autoscaler has `settings` in force; returns what it has. Raises SettingsNotInForce."""
        deadline = time.monotonic() + timeout_s
        while True:
            self.check_alive()
            in_force = self.in_force() or {}
            wrong = rayapi.differences(in_force, settings, shape)
            if not wrong:
                return in_force
            if time.monotonic() > deadline:
                raise SettingsNotInForce(
                    f"the autoscaler didn't take the settings over within {timeout_s:g} s: {'; '.join(wrong)}",
                    self._where_logs_are(),
                )
            time.sleep(_POLL_S)

    def _where_logs_are(self) -> str | None:
        return f"logs are kept in {self._logs_dir}" if self._logs_dir is not None else None

    def stop(self) -> None:
        """End every process of the cluster and remove its files; safe to call twice."""
        processes.end_marked(self._home, self.address.cluster_id)
        if self._head is not None:
            self._head.kill()
            self._head.wait()
        if self._logs_dir is not None:
            with contextlib.suppress(OSError):  # a full disk must not keep anything running
                self._keep_logs(self._logs_dir)
        shutil.rmtree(self.address.scratch, ignore_errors=True)
        shutil.rmtree(self.files.root, ignore_errors=True)

    def _keep_logs(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        logs = Path(self.address.temp_dir) / "session_latest" / "logs"
        kept = [*logs.glob("monitor.*"), *logs.glob("autoscaler*"), self.files.journal, self.files.node_log("head")]
        for log in kept:
            if log.is_file():
                shutil.copy(log, folder / log.name)
