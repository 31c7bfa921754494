"""A Ray NodeProvider on a `Cloud`. It runs inside Ray's monitor, whose update loop must never wait for a node.

It also reports the autoscaler's live settings into the cluster's folder, whenever they change.
"""

from abc import abstractmethod
from pathlib import Path
from typing import Any

from ray.autoscaler.node_launch_exception import NodeLaunchException
from ray.autoscaler.tags import TAG_RAY_USER_NODE_TYPE

from orchestrator.backends.live.cloud import Cloud, CloudNode, LaunchRequest
from orchestrator.backends.live.cluster_dir import ClusterFiles
from orchestrator.rayapi.live_settings import autoscaler_of, settings_in_force
from orchestrator.rayapi.node import head_tags
from orchestrator.rayapi.node_table import NodeTableProvider
from orchestrator.rayapi.virtual.world import LaunchRefused


class CloudNodeProvider(NodeTableProvider):
    """Configured by the `provider` section of the cluster config, which `orchestrate` writes."""

    def __init__(self, provider_config: dict[str, Any], cluster_name: str) -> None:
        super().__init__(provider_config, cluster_name)
        self._files = ClusterFiles(Path(provider_config["cluster_dir"]))
        self._cloud = self._connect()
        head = CloudNode(
            provider_config["head_node_id"],
            provider_config["head_node_type"],
            head_tags(provider_config["head_node_type"]),
            booted=True,
            ip=provider_config.get("head_ip", ""),
        )
        self._head = {head.node_id: head}
        self._later_tags: dict[str, dict[str, str]] = {}
        self._autoscaler: Any = None
        self._in_force: dict[str, Any] | None = None

    @abstractmethod
    def _connect(self) -> Cloud:
        """Return the cloud that gives the workers."""

    def nodes(self) -> dict[str, CloudNode]:
        """Return the head and the workers that exist, by id."""
        return {**self._head, **self._cloud.nodes()}

    # Called by Ray

    def non_terminated_nodes(self, tag_filters: dict[str, str]) -> list[str]:
        """Return the ids of the nodes that exist and carry these tags. Ray calls it at every update."""
        self._note_settings()
        return [node_id for node_id, node in self.nodes().items() if tag_filters.items() <= self._tags_of(node).items()]

    def node_tags(self, node_id: str) -> dict[str, str]:
        """Return the tags that Ray gave the node; none if it has failed since it was listed."""
        node = self.nodes().get(node_id)
        return self._tags_of(node) if node is not None else {}

    def _tags_of(self, node: CloudNode) -> dict[str, str]:
        return {**node.tags, **self._later_tags.get(node.node_id, {})}

    def set_node_tags(self, node_id: str, tags: dict[str, str]) -> None:
        """Add tags to a node; v1 does so."""
        self._later_tags.setdefault(node_id, {}).update(tags)

    def internal_ip(self, node_id: str) -> str:
        """Return the node's address, or its id while it has none: v1 knows nodes that share one address by it."""
        node = self.nodes().get(node_id)
        return (node.ip if node is not None else "") or node_id

    def create_node_with_resources_and_labels(
        self,
        node_config: dict[str, Any],
        tags: dict[str, str],
        count: int,
        resources: dict[str, float],
        labels: dict[str, str],
    ) -> None:
        """Ask the cloud for `count` nodes. Return when it has answered; they then boot by themselves."""
        try:
            self._cloud.create(LaunchRequest(tags[TAG_RAY_USER_NODE_TYPE], count, tags, resources, labels))
        except LaunchRefused as answer:
            raise NodeLaunchException(answer.category, answer.description, None) from answer

    def terminate_node(self, node_id: str) -> None:
        """Take the node out of the list at once. It ends in the background."""
        self._cloud.terminate(node_id)
        self._later_tags.pop(node_id, None)

    def _note_settings(self) -> None:
        if self._autoscaler is None:
            self._autoscaler = autoscaler_of(self)
        if self._autoscaler is None:
            return
        try:
            in_force = settings_in_force(self._autoscaler)
        except AttributeError:  # not logged: the autoscaler is still being built; the next update reports
            return
        if in_force != self._in_force:
            self._in_force = in_force
            self._files.append_settings(in_force)
