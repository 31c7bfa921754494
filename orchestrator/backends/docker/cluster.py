"""A Ray cluster of containers: a network, a head, and workers that its autoscaler asks for and ends."""

import json
import logging
import threading
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from docker.errors import NotFound
from docker.models.containers import Container
from docker.types import LogConfig

from orchestrator.backends.docker import labels
from orchestrator.backends.docker.cleanup import remove_all
from orchestrator.backends.docker.container import NodeContainer
from orchestrator.backends.docker.daemon import platform_of
from orchestrator.backends.docker.environment import DockerEnvironment
from orchestrator.backends.docker.image import PACKAGE_FOLDER
from orchestrator.backends.docker.mailbox import MailboxServer
from orchestrator.backends.docker.mounts import OPTIONS, SHARED, TOKEN, head_mounts, in_head, node_mounts
from orchestrator.backends.docker.network import ClusterNetwork
from orchestrator.backends.live import node_process
from orchestrator.backends.live.cloud import CannotStart, CloudNode, MachineLost
from orchestrator.backends.live.cluster import ClusterLaunch
from orchestrator.backends.live.modelled_cloud import CLOSE_S, ModelledCloud
from orchestrator.backends.live.ownership import ensure_token
from orchestrator.backends.live.ray_config import OBJECT_STORE_BYTES
from orchestrator.backends.live.shared_files import SharedFilesCluster
from orchestrator.docker_errors import ENGINE_ERRORS, explain, explained
from orchestrator.errors import ClusterFailed, MissingPrerequisite
from orchestrator.faults.injector import NodeEnded
from orchestrator.filesystem import no_room
from orchestrator.logs import suppressed
from orchestrator.model.cluster import ClusterShape, NodeType
from orchestrator.model.fault import FaultKind
from orchestrator.model.settings import Settings
from orchestrator.rayapi.environment import CONTAINER_ENVIRONMENT, head_environment, node_environment, token_environment
from orchestrator.rayapi.node import AGENT_PORTS, NodeOptions

_log = logging.getLogger(__name__)

_TEMP_DIR = "/tmp/ray"

# A container has these ports for itself.
_GCS_PORT = 6379
_DASHBOARD_PORT = 8265
_PIDS = 4096
# An emulated Python takes its time to import Ray.
EMULATED_START_S = 120.0
EMULATED_START_TIMEOUT_S = 600.0
_LOG_KEPT = 50_000_000


class DockerCluster(SharedFilesCluster):
    """One running cluster, from `DockerCluster.start`. `stop` removes its containers, its network and its files."""

    backend = "docker"
    metrics_ports: Mapping[str, int] = {"autoscaler": 44217, "dashboard": 44227}

    def __init__(self, launch: ClusterLaunch, environment: DockerEnvironment) -> None:
        super().__init__(launch)
        self._environment = environment
        self._client = environment.client
        if any(map(environment.emulates, environment.images)):
            self.start_s = EMULATED_START_S
        self._labels = labels.cluster_labels(self._home, self.cluster_id)
        self._network = ClusterNetwork(self._client, f"orchestrate-{self.cluster_id}", self._labels)
        self._mailbox = MailboxServer(self.files)
        self._head: NodeContainer | None = None
        self._head_id = f"head-{self.cluster_id}"
        self._head_code: int | None = None
        self._watcher: threading.Thread | None = None
        self._failure: Exception | None = None
        self._cloud: ModelledCloud | None = None

    @classmethod
    def start(cls, launch: ClusterLaunch, environment: DockerEnvironment) -> "DockerCluster":
        """Start a head with Ray's autoscaler under the launch's settings. Raises ClusterFailed, MissingPrerequisite."""
        cluster = cls(launch, environment)
        with cluster._starting():
            cluster._start()
        return cluster

    def _start(self) -> None:
        shape, settings = self._launch.shape, self._launch.settings
        self.gcs = self.dashboard = ""
        self._make_folder()
        self.files.create()
        with explain("making a network for the cluster"):
            self._network.create()
        self.inner_gcs = f"{self._network.head_address}:{_GCS_PORT}"
        self.python = self._environment.images[shape.head.name].python
        self._cloud = ModelledCloud(
            self.files,
            shape.launch,
            lambda node: self._worker(shape, node),
            starts=self._environment.starts,
            changed=self._mailbox.publish,
        )
        self.apply_settings(shape, settings)
        self._mailbox.start(self._cloud)
        head = self._head = self._make_head(shape.head, settings)
        try:
            if not head.start():
                head.wait()
                raise ClusterFailed(f"the head of the cluster ended: {self._last_words()}")
        except (CannotStart, MachineLost) as error:
            if isinstance(error.__cause__, MissingPrerequisite):  # every trial would fail alike
                raise error.__cause__ from None
            raise ClusterFailed(f"the head can't be started: {error}") from None
        self._watcher = threading.Thread(target=self._watch_head, args=(head,), daemon=True)
        self._watcher.start()
        with explain("finding the head's ports"):
            self.gcs = self._published(head, _GCS_PORT)
            self.dashboard = f"http://{self._published(head, _DASHBOARD_PORT)}"
        self._write_owner()
        self._wait(lambda: self.live_settings() is not None, "autoscaler")

    def _watch_head(self, head: NodeContainer) -> None:
        try:
            self._head_code = head.wait()
        except MachineLost as error:
            _log.exception("the head can't be watched")
            self._failure = error

    # Containers

    def _make_head(self, head: NodeType, settings: Settings) -> NodeContainer:
        options = NodeOptions(
            node_id=self._head_id,
            temp_dir=_TEMP_DIR,
            resources=head.resources,
            labels=head.labels,
            object_store_memory=OBJECT_STORE_BYTES,
            ip=self._network.head_address,
            agent_ports=AGENT_PORTS,
            gcs_port=_GCS_PORT,
            dashboard_port=_DASHBOARD_PORT,
            autoscaling_config=in_head(self.files, self.files.config),
        )
        environment = {**head_environment(self.metrics_ports), **settings.monitor_environment()}
        more = {
            # On this machine's loopback: the one way in that every engine has, rootless ones and Docker Desktop too.
            "ports": {
                f"{_GCS_PORT}/tcp": ("127.0.0.1", None),
                f"{_DASHBOARD_PORT}/tcp": ("127.0.0.1", self._environment.dashboard_port),
            },
            "mounts": head_mounts(self.files),
        }
        return self._container(head, self._head_id, self._network.head_address, options, environment, **more)

    def _worker(self, shape: ClusterShape, node: CloudNode) -> NodeContainer:
        node_type = shape.node_type(node.node_type)
        if node_type is None:
            raise CannotStart(f"the cluster file has no node type {node.node_type}")
        options = NodeOptions(
            node_id=node.node_id,
            temp_dir=_TEMP_DIR,
            resources=node.resources,
            labels=node.labels,
            object_store_memory=OBJECT_STORE_BYTES,
            ip=None,
            agent_ports=AGENT_PORTS,
            gcs_address=self.inner_gcs,
        )
        try:
            address = self._network.next_address()
        except MissingPrerequisite as error:
            raise CannotStart(error.message) from error
        except ENGINE_ERRORS as error:
            raise CannotStart(explained("finding an address for the node", error).message) from error
        return self._container(node_type, node.node_id, address, options, {})

    def _container(
        self,
        node_type: NodeType,
        node_id: str,
        address: str,
        options: NodeOptions,
        environment: dict[str, str],
        **more: Any,
    ) -> NodeContainer:
        image, config = self._environment.images[node_type.name], self._environment.containers[node_type.name]
        options_file = self.files.node_options(node_id)
        options_file.write_text(json.dumps(asdict(options)))
        mounts = [*node_mounts(image, ensure_token(self._home), options_file), *more.pop("mounts", [])]
        emulated, cpus = self._environment.emulates(node_type.name), config.cpus or node_type.cpus
        # Of the 30 s that Ray gives a raylet an emulated one needs most with all the CPU there is.
        limits = {"nano_cpus": int(min(cpus, self._environment.facts.cpus) * 1e9)} if cpus and not emulated else {}
        return NodeContainer(
            self._client,
            {
                "image": image.image_id,
                "platform": platform_of(self._environment.arch(node_type.name)),
                "entrypoint": [image.python, "-P", "-m", node_process.__name__, OPTIONS],
                "command": [],
                "name": f"orchestrate-{self.cluster_id}-{node_id[:8]}",
                "labels": {**self._labels, labels.NODE: node_id, labels.NODE_TYPE: node_type.name},
                "user": self._environment.user,
                "working_dir": "/tmp",
                "environment": {
                    "HOME": "/tmp",
                    "PYTHONPATH": PACKAGE_FOLDER,
                    **token_environment(Path(TOKEN)),
                    **node_environment(options.node_id, node_type.name),
                    **CONTAINER_ENVIRONMENT,
                    **environment,
                    **config.environment,
                },
                "mounts": mounts,
                "network": self._network.name,
                "networking_config": self._network.at(address),
                "mem_limit": config.memory,
                "memswap_limit": config.memory,  # both together: no swap beside the memory
                "shm_size": config.shm_size,
                "pids_limit": _PIDS,
                "cap_drop": ["ALL"],
                "security_opt": ["no-new-privileges:true"],
                "log_config": LogConfig(type=LogConfig.types.JSON, config={"max-size": "10m", "max-file": "2"}),
                **limits,
                **more,
            },
            start_timeout_s=EMULATED_START_TIMEOUT_S if emulated else None,
        )

    # Faults, see `faults.injector.InjectableCluster`

    def inject(self, kind: FaultKind, node: str) -> None:
        """Inject a fault into the container of a node. Raises NodeEnded and OrchestrateError."""
        ended = NodeEnded(node)
        if kind in ("kill", "spot"):
            cause = "spot_interruption" if kind == "spot" else "fault"
            detail = "the cloud took the machine back" if kind == "spot" else "killed"
            if self._cloud is None or not self._cloud.reclaim(node, cause, detail):
                raise ended
            return
        worker = self._node_container(node)
        if worker is None:
            raise ended
        with explain(f"{kind} of node {node[:8]}"):
            if kind == "pause":
                worker.pause()
            else:
                self._network.cut_off(worker)

    def recover(self, kind: FaultKind, node: str) -> None:
        """Let the node go on. Raises OrchestrateError."""
        worker = self._node_container(node)
        if worker is None:
            return
        with explain(f"recovering node {node[:8]}"), suppressed(_log, "the node has ended", NotFound):
            if kind == "pause":
                if worker.status == "paused":  # it may be ending, for which it was let go on
                    worker.unpause()
            else:
                self._network.connect(worker)

    def _node_container(self, node: str) -> Container | None:
        with explain(f"finding the container of node {node[:8]}"):
            marked = labels.label_filter(self._home, self.cluster_id)
            marked["label"].append(f"{labels.NODE}={node}")
            return next(iter(self._client.containers.list(filters=marked)), None)

    # As every cluster

    def apply_settings(self, shape: ClusterShape, settings: Settings) -> None:
        """See `LiveCluster.apply_settings`."""
        if self._cloud is not None:
            self._cloud.limit(shape)
        super().apply_settings(shape, settings)

    def check_alive(self) -> None:
        """See `LiveCluster.check_alive`. Raises MissingPrerequisite too, for what ends the other trials as well."""
        failure = self._failure or self._mailbox.failure or (self._cloud.failure if self._cloud is not None else None)
        if failure is not None:
            missing = failure if isinstance(failure, MissingPrerequisite) else no_room(failure, self._home)
            if missing is not None:  # every trial would fail alike
                raise missing
            raise ClusterFailed(str(failure), "what is left once it answers again: orchestrate clean")
        if self._head is None or self._head_code is not None:
            raise ClusterFailed(f"the head of the cluster ended: {self._last_words()}")

    def _last_words(self) -> str:
        return (self._head.last_words() if self._head is not None else "") or "it left no message"

    @property
    def monitor_log(self) -> Path:
        """See `SharedFilesCluster.monitor_log`."""
        return self.files.monitor_log

    def _provider(self) -> dict[str, Any]:
        return {
            "module": "orchestrator.backends.docker.node_provider.DockerNodeProvider",
            "cluster_dir": SHARED,
            "head_node_id": self._head_id,
            "head_ip": self._network.head_address,
        }

    def stop(self) -> None:
        """Remove containers, network and files; safe to call twice. Raises MissingPrerequisite without an engine."""
        self._mailbox.stop()
        if self._head is not None:
            self._head.kill()
        if self._cloud is not None:
            self._cloud.close()  # nothing is started any more when the rest is looked for
        if self._watcher is not None:
            self._watcher.join(CLOSE_S)  # it reads what the head said last
        try:
            remove_all(self._client, self._home, self.cluster_id)
        finally:
            if self._logs_dir is not None and self.files.root.is_dir():
                with suppressed(_log, "keeping the logs", OSError):  # a full disk must not keep anything running
                    self._keep_logs(self._logs_dir)
        self._remove_folder()

    def _keep_logs(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        if self._head is not None:
            (folder / "head.log").write_text(self._head.last_lines())
        for log in (self.files.journal, self.files.settings, self.files.monitor_log):
            if log.is_file():
                with log.open("rb") as file:  # a job may have written to it for ever
                    (folder / log.name).write_bytes(file.read(_LOG_KEPT))

    def _published(self, head: NodeContainer, port: int) -> str:
        """Return `host:port` on this machine. Raises ClusterFailed for a head that has ended and so has no ports."""
        try:
            binding = head.attributes()["NetworkSettings"]["Ports"][f"{port}/tcp"][0]
        except (NotFound, LookupError, TypeError):
            if self._watcher is not None:
                self._watcher.join(CLOSE_S)
            raise ClusterFailed(f"the head of the cluster ended: {self._last_words()}") from None
        return f"{binding['HostIp']}:{binding['HostPort']}"
