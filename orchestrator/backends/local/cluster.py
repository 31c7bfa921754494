"""A Ray cluster whose nodes are processes on this machine's loopback."""

import json
import logging
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

from orchestrator.backends.live import node_process
from orchestrator.backends.live.cluster import ClusterLaunch
from orchestrator.backends.live.ownership import ensure_token, is_own_folder
from orchestrator.backends.live.ports import free_ports
from orchestrator.backends.live.ray_config import OBJECT_STORE_BYTES
from orchestrator.backends.live.shared_files import SharedFilesCluster
from orchestrator.backends.local import processes
from orchestrator.errors import ClusterFailed
from orchestrator.inputs.secrets import inherited
from orchestrator.logs import suppressed
from orchestrator.rayapi.environment import (
    LOOPBACK,
    LOOPBACK_ENVIRONMENT,
    head_environment,
    node_environment,
    token_environment,
)
from orchestrator.rayapi.gcs import CLIENT_ENVIRONMENT
from orchestrator.rayapi.node import NodeOptions

_log = logging.getLogger(__name__)

START_ATTEMPTS = 2  # a port may have been taken between its choice and its use
_LONGEST_BASE = 40


def scratch_folder(cluster_id: str) -> Path:
    """Return the folder for Ray's temporary files and sockets, whose paths may have 107 bytes: too few for the home."""
    base = tempfile.gettempdir()
    return Path(base if len(base) <= _LONGEST_BASE else "/tmp") / f"orchestrate-{cluster_id}"


class LocalCluster(SharedFilesCluster):
    """One running cluster, from `LocalCluster.start`. `stop` ends its processes and removes its files."""

    backend = "local"
    python = sys.executable

    def __init__(self, launch: ClusterLaunch) -> None:
        super().__init__(launch)
        self._gcs_port, self._dashboard_port, autoscaler_metrics, dashboard_metrics = free_ports(4)
        self.gcs = self.inner_gcs = f"{LOOPBACK}:{self._gcs_port}"
        self.dashboard = f"http://{LOOPBACK}:{self._dashboard_port}"
        self.metrics_ports = {"autoscaler": autoscaler_metrics, "dashboard": dashboard_metrics}
        self._head_id = secrets.token_hex(28)
        self._scratch = scratch_folder(self.cluster_id)
        self._temp_dir = self._scratch / "ray"
        self._head: subprocess.Popen[str] | None = None

    @classmethod
    def start(cls, launch: ClusterLaunch) -> "LocalCluster":
        """Start a head with Ray's autoscaler under the launch's settings. Raises ClusterFailed with the reason."""
        for attempt in range(1, START_ATTEMPTS + 1):
            cluster = cls(launch)
            try:
                with cluster._starting():
                    cluster._start()
                return cluster
            except ClusterFailed:
                _log.warning("attempt %d to start the cluster failed", attempt, exc_info=True)
                if attempt == START_ATTEMPTS:
                    raise
        raise AssertionError("unreachable")

    def _start(self) -> None:
        files, head, settings = self.files, self._launch.shape.head, self._launch.settings
        self._make_folder(str(self._scratch))
        files.create()
        self._scratch.mkdir(mode=0o700)  # Ray lets everybody write into the folder that it makes in this one
        self.apply_settings(self._launch.shape, settings)
        options = NodeOptions(
            node_id=self._head_id,
            temp_dir=str(self._temp_dir),
            resources=head.resources,
            labels=head.labels,
            object_store_memory=OBJECT_STORE_BYTES,
            gcs_port=self._gcs_port,
            dashboard_port=self._dashboard_port,
            autoscaling_config=str(files.config),
        )
        options_file = files.node_options("head")
        options_file.write_text(json.dumps(asdict(options)))
        environment = {
            **inherited(),
            # `python` in a job's command is this one, which has Ray.
            "PATH": os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath))),
            **processes.marker_environment(self.cluster_id, self._home),
            **token_environment(ensure_token(self._home)),
            **LOOPBACK_ENVIRONMENT,
            **node_environment(self._head_id, head.name),
            **head_environment(self.metrics_ports),
            **settings.monitor_environment(),
            "RAY_OVERRIDE_NODE_ID_FOR_TESTING": self._head_id,
        }
        # The user's own cluster must have no influence, and parts of this one must notice when its GCS is gone.
        for name in ("RAY_ADDRESS", "RAY_AUTH_TOKEN", *CLIENT_ENVIRONMENT):
            environment.pop(name, None)
        with files.node_log("head").open("w") as log:
            self._head = subprocess.Popen(
                [sys.executable, "-P", "-m", node_process.__name__, str(options_file)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                text=True,
                env=environment,
                start_new_session=True,
            )
        self._wait(
            lambda: node_process.READY in files.node_log("head").read_text(errors="replace").splitlines(), "head"
        )
        self._wait(lambda: self.live_settings() is not None, "autoscaler")

    def check_alive(self) -> None:
        """See `LiveCluster.check_alive`."""
        if self._head is None or self._head.poll() is not None:
            raise ClusterFailed(f"the head of the local cluster ended: {self._last_words()}")

    def _last_words(self) -> str:
        words = [self.files.last_words("head")]
        for name in ("monitor.err", "monitor.out"):
            log = self._ray_logs / name
            lines = log.read_text(errors="replace").strip().splitlines() if log.exists() else []
            words += lines[-1:]
        return "; ".join(word for word in words if word and word != node_process.READY)[:500] or "it left no message"

    @property
    def _ray_logs(self) -> Path:
        return self._temp_dir / "session_latest" / "logs"

    @property
    def monitor_log(self) -> Path:
        """See `SharedFilesCluster.monitor_log`."""
        return self._ray_logs / "monitor.log"

    def _provider(self) -> dict[str, Any]:
        return {
            "module": "orchestrator.backends.local.node_provider.LocalNodeProvider",
            "use_node_id_as_ip": True,
            "cluster_dir": str(self.files.root),
            "head_node_id": self._head_id,
            "gcs_address": self.gcs,
            "temp_dir": str(self._temp_dir),
        }

    def stop(self) -> None:
        """End every process of the cluster and remove its files; safe to call twice."""
        processes.end_marked(self._home, self.cluster_id)
        if self._head is not None:
            self._head.kill()
            self._head.wait()
        if self._logs_dir is not None:
            with suppressed(_log, "keeping the logs", OSError):  # a full disk must not keep anything running
                self._keep_logs(self._logs_dir)
        if is_own_folder(self._scratch):
            shutil.rmtree(self._scratch, ignore_errors=True)
        self._remove_folder()

    def _keep_logs(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        logs = self._ray_logs
        kept = [*logs.glob("monitor.*"), *logs.glob("autoscaler*")]
        for log in (*kept, self.files.journal, self.files.settings, self.files.node_log("head")):
            if log.is_file():
                shutil.copy(log, folder / log.name)
