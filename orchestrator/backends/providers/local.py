"""A Ray NodeProvider whose nodes are process groups on this machine, with the latencies of a cloud.

It lives inside Ray's monitor. A request returns after the modelled answer time of the cloud; boot and start run in the
background, so that the autoscaler's update loop never waits for a node. Everything that happens to a node is appended
to the cluster's journal with its time, and so are the settings that the autoscaler has in force whenever they change.
"""

import json
import os
import secrets
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ray.autoscaler.node_provider import NodeProvider
from ray.autoscaler.tags import (
    NODE_KIND_HEAD,
    STATUS_UP_TO_DATE,
    TAG_RAY_NODE_KIND,
    TAG_RAY_NODE_NAME,
    TAG_RAY_NODE_STATUS,
    TAG_RAY_USER_NODE_TYPE,
)

from orchestrator import rayapi
from orchestrator.backends import nodehost
from orchestrator.backends.files import ClusterFiles
from orchestrator.model.delay import LaunchModel, NodeLatencies

NODE_ID_BYTES = 28
_KILL_AFTER_S = nodehost.GRACE_S + 3.0


@dataclass
class _LocalNode:
    node_id: str
    node_type: str
    tags: dict[str, str]
    process: subprocess.Popen[str] | None = None
    booted: bool = False
    terminating: threading.Event = field(default_factory=threading.Event)


class LocalNodeProvider(NodeProvider):  # type: ignore[misc]
    """Configured by the `provider` section of the cluster config; `cluster_dir` and the addresses are filled in."""

    def __init__(self, provider_config: dict[str, Any], cluster_name: str) -> None:
        super().__init__(provider_config, cluster_name)
        self._files = ClusterFiles(Path(provider_config["cluster_dir"]))
        self._launch = LaunchModel(**provider_config.get("launch", {}))
        self._lock = threading.Lock()
        # More starts at once than cores make each so slow that Ray may give a node up.
        self._starts = threading.Semaphore(os.cpu_count() or 1)
        self._launched: Counter[tuple[str, str]] = Counter()
        self._autoscaler: Any = None
        self._in_force: dict[str, Any] | None = None
        head_id = provider_config["head_node_id"]
        head = _LocalNode(
            head_id,
            provider_config["head_node_type"],
            {
                TAG_RAY_NODE_KIND: NODE_KIND_HEAD,
                TAG_RAY_USER_NODE_TYPE: provider_config["head_node_type"],
                TAG_RAY_NODE_NAME: head_id,
                TAG_RAY_NODE_STATUS: STATUS_UP_TO_DATE,
            },
            booted=True,
        )
        self._nodes = {head_id: head}

    # What Ray asks for

    def non_terminated_nodes(self, tag_filters: dict[str, str]) -> list[str]:
        """Ids of the nodes that exist and carry these tags. Ray calls it at every update."""
        self._note_settings()
        with self._lock:
            return [
                node.node_id
                for node in self._nodes.values()
                if all(node.tags.get(key) == value for key, value in tag_filters.items())
            ]

    def is_running(self, node_id: str) -> bool:
        """Whether the modelled boot is over."""
        node = self._nodes.get(node_id)
        return node is not None and node.booted

    def is_terminated(self, node_id: str) -> bool:
        """Whether the node is gone."""
        return node_id not in self._nodes

    def node_tags(self, node_id: str) -> dict[str, str]:
        """The tags that Ray gave the node; none for one that has failed since it was listed."""
        node = self._nodes.get(node_id)
        return node.tags if node is not None else {}

    def set_node_tags(self, node_id: str, tags: dict[str, str]) -> None:
        """Add tags to a node; v1 does so."""
        self.node_tags(node_id).update(tags)

    def internal_ip(self, node_id: str) -> str:
        """The node's id: all local nodes share 127.0.0.1, so v1 tells them apart by `use_node_id_as_ip`."""
        return node_id

    def external_ip(self, node_id: str) -> str:
        """As `internal_ip`."""
        return node_id

    def create_node_with_resources_and_labels(
        self,
        node_config: dict[str, Any],
        tags: dict[str, str],
        count: int,
        resources: dict[str, float],
        labels: dict[str, str],
    ) -> None:
        """Ask the modelled cloud for `count` nodes: returns when it has answered, then they boot by themselves."""
        node_type = tags[TAG_RAY_USER_NODE_TYPE]
        trial, seed = self._files.read_trial()
        latencies = [self._next_latencies(trial, seed, node_type) for _ in range(count)]
        nodes = [_LocalNode(secrets.token_hex(NODE_ID_BYTES), node_type, dict(tags)) for _ in range(count)]
        for node in nodes:
            self._journal("requested", node)
        time.sleep(max(latency.request for latency in latencies))
        with self._lock:
            self._nodes.update({node.node_id: node for node in nodes})
        for node, latency in zip(nodes, latencies, strict=True):
            self._journal("allocated", node)
            threading.Thread(target=self._live, args=(node, latency.boot, resources, labels), daemon=True).start()

    def create_node(self, node_config: dict[str, Any], tags: dict[str, str], count: int) -> None:
        """Ray calls this only for providers without resources and labels."""
        self.create_node_with_resources_and_labels(node_config, tags, count, {}, {})

    def terminate_node(self, node_id: str) -> None:
        """Take the node out of the list at once and end its processes in the background."""
        with self._lock:
            node = self._nodes.pop(node_id, None)
        if node is not None:
            self._journal("terminating", node)
            node.terminating.set()
            threading.Thread(target=self._end, args=(node,), daemon=True).start()

    @staticmethod
    def bootstrap_config(cluster_config: dict[str, Any]) -> dict[str, Any]:
        """Nothing to add: `orchestrate` wrote the whole config."""
        return cluster_config

    # The life of a node, in a thread of its own

    def _live(self, node: _LocalNode, boot_s: float, resources: dict[str, float], labels: dict[str, str]) -> None:
        if node.terminating.wait(boot_s):
            self._journal("terminated", node)
            return
        node.booted = True
        self._journal("installing", node)  # the wait for a free core is part of it
        with self._starts:
            if node.terminating.is_set():
                self._journal("terminated", node)
                return
            try:
                process = node.process = self._start(node, resources, labels)
            except OSError as error:
                self._give_up(node, str(error))
                return
            if node.terminating.is_set():  # it was told so while there was no process yet
                self._end(node)
            assert process.stdout is not None
            started = process.stdout.readline().strip() == nodehost.READY
        if started:
            self._journal("started", node)
        code = process.wait()
        nodehost.end_session(process.pid, 0)  # nothing is left of it, unless the host itself was killed
        if not started and not node.terminating.is_set():
            self._give_up(node, self._files.last_words(node.node_id) or f"exit code {code}")
            return
        # As in a cloud, a machine whose Ray has ended (drained, or killed) exists until the autoscaler ends it.
        if not node.terminating.is_set():
            self._journal("ray_ended", node, code=code, detail=self._files.last_words(node.node_id))
            node.terminating.wait()
        self._journal("terminated", node)

    def _give_up(self, node: _LocalNode, why: str) -> None:
        with self._lock:
            self._nodes.pop(node.node_id, None)
        self._journal("failed", node, detail=why)

    def _start(self, node: _LocalNode, resources: dict[str, float], labels: dict[str, str]) -> subprocess.Popen[str]:
        custom = dict(resources)
        config = self.provider_config
        options = rayapi.NodeOptions(
            node_id=node.node_id,
            temp_dir=config["temp_dir"],
            num_cpus=int(custom.pop("CPU", 0)),
            resources=custom,
            labels=labels,
            object_store_memory=config["object_store_memory"],
            gcs_address=config["gcs_address"],
        )
        options_file = self._files.node_options(node.node_id)
        options_file.write_text(json.dumps(asdict(options)))
        environment = {
            **os.environ,
            "RAY_CLOUD_INSTANCE_ID": node.node_id,
            "RAY_OVERRIDE_NODE_ID_FOR_TESTING": node.node_id,
            "RAY_NODE_TYPE_NAME": node.node_type,
        }
        with self._files.node_log(node.node_id).open("w") as log:
            return subprocess.Popen(
                [sys.executable, "-P", "-m", nodehost.__name__, str(options_file)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env=environment,
                start_new_session=True,
            )

    def _end(self, node: _LocalNode) -> None:
        process = node.process
        if process is None or process.poll() is not None:
            return
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(_KILL_AFTER_S)
        except subprocess.TimeoutExpired:
            nodehost.end_session(process.pid, 0)
            process.kill()

    # What is written down

    def _next_latencies(self, trial: str, seed: int, node_type: str) -> NodeLatencies:
        """The n-th launch of a type in a trial takes equally long in every trial with the same seed."""
        with self._lock:
            index = self._launched[trial, node_type]
            self._launched[trial, node_type] += 1
        return self._launch.latencies(seed, node_type, index)

    def _note_settings(self) -> None:
        if self._autoscaler is None:
            self._autoscaler = rayapi.find_autoscaler()
        if self._autoscaler is None:
            return
        try:
            in_force = rayapi.settings_in_force(self._autoscaler)
        except AttributeError:  # the autoscaler is still being built; the next update will tell
            return
        if in_force != self._in_force:
            self._in_force = in_force
            self._files.append_journal({"event": "settings", "settings": in_force})

    def _journal(self, event: str, node: _LocalNode, **more: Any) -> None:
        self._files.append_journal({"event": event, "node": node.node_id, "node_type": node.node_type, **more})
