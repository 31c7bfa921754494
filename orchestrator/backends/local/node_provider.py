"""A Ray NodeProvider whose nodes are process groups on this machine, with the latencies of a cloud."""

import json
import logging
import os
import signal
import subprocess
import sys
import threading
from dataclasses import asdict

from orchestrator.backends.live import node_process
from orchestrator.backends.live.cloud import CannotStart, CloudNode
from orchestrator.backends.live.cluster_dir import ClusterFiles
from orchestrator.backends.live.modelled_cloud import ModelledCloud
from orchestrator.backends.live.node_provider import CloudNodeProvider
from orchestrator.model.latency import LaunchModel
from orchestrator.rayapi.environment import node_environment
from orchestrator.rayapi.node import NodeOptions

_log = logging.getLogger(__name__)

_KILL_AFTER_S = node_process.GRACE_S + 3.0


class LocalNodeProvider(CloudNodeProvider):
    """The cloud is in this process, which is Ray's monitor; its machines are processes."""

    def _connect(self) -> ModelledCloud:
        launch = LaunchModel(**self.provider_config.get("launch", {}))
        return ModelledCloud(self._files, launch, self._machine, starts=os.cpu_count() or 1)

    def _machine(self, node: CloudNode) -> "NodeProcess":
        config = self.provider_config
        options = NodeOptions(
            node_id=node.node_id,
            temp_dir=config["temp_dir"],
            resources=node.resources,
            labels=node.labels,
            object_store_memory=config["object_store_memory"],
            gcs_address=config["gcs_address"],
        )
        environment = {
            **node_environment(node.node_id, node.node_type),
            "RAY_OVERRIDE_NODE_ID_FOR_TESTING": node.node_id,
        }
        return NodeProcess(self._files, options, environment)


class NodeProcess:
    """The processes of a node, as children of one process: see `live.node_process`. It is a `Machine`."""

    def __init__(self, files: ClusterFiles, options: NodeOptions, environment: dict[str, str]) -> None:
        self._files = files
        self._options = options
        self._environment = environment
        self._lock = threading.Lock()
        self._ended = False
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> bool:
        """See `Machine.start`."""
        node_id = self._options.node_id
        options_file = self._files.node_options(node_id)
        with self._lock:
            if self._ended:
                return False
            try:
                options_file.write_text(json.dumps(asdict(self._options)))
                with self._files.node_log(node_id).open("w") as log:
                    process = self._process = subprocess.Popen(
                        [sys.executable, "-P", "-m", node_process.__name__, str(options_file)],
                        stdin=subprocess.DEVNULL,
                        stdout=subprocess.PIPE,
                        stderr=log,
                        text=True,
                        env={**os.environ, **self._environment},
                        start_new_session=True,
                    )
            except OSError as error:
                raise CannotStart(str(error)) from error
        assert process.stdout is not None
        return process.stdout.readline().strip() == node_process.READY

    def wait(self) -> int:
        """See `Machine.wait`."""
        if self._process is None:
            return 0
        code = self._process.wait()
        node_process.end_session(self._process.pid, 0)  # for a node process that was killed
        return code

    def end(self) -> None:
        """See `Machine.end`."""
        with self._lock:
            self._ended, process = True, self._process
        if process is None or process.poll() is not None:
            return
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(_KILL_AFTER_S)
        except subprocess.TimeoutExpired:
            _log.debug("a node process doesn't end: killing it")
            self.kill()

    def kill(self) -> None:
        """See `Machine.kill`."""
        with self._lock:
            self._ended, process = True, self._process
        if process is not None and process.poll() is None:
            node_process.end_session(process.pid, 0)
            process.kill()

    def address(self) -> str:
        """See `Machine.address`: all share the loopback's."""
        return ""

    def last_words(self) -> str:
        """See `Machine.last_words`."""
        return self._files.last_words(self._options.node_id)
