"""A Ray NodeProvider on a `Cloud`. It lives inside Ray's monitor, whose update loop must never wait for a node.

Beside nodes it notes the settings that the autoscaler has in force, in the cluster's folder, whenever they change.
"""

from abc import abstractmethod
from pathlib import Path
from typing import Any

from ray.autoscaler.node_launch_exception import NodeLaunchException
from ray.autoscaler.node_provider import NodeProvider
from ray.autoscaler.tags import TAG_RAY_USER_NODE_TYPE

from orchestrator.backends.live.cluster_dir import ClusterFiles
from orchestrator.backends.live.modelled_cloud import Cloud, CloudNode
from orchestrator.rayapi.live_settings import autoscaler_of, settings_in_force
from orchestrator.rayapi.node import head_tags
from orchestrator.rayapi.virtual.world import LaunchRefused


class CloudNodeProvider(NodeProvider):  # type: ignore[misc]
    """Configured by the `provider` section of the cluster config, which `orchestrate` completes."""

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
        """The cloud that gives the workers."""

    def _nodes(self) -> dict[str, CloudNode]:
        return {**self._head, **self._cloud.nodes()}

    # What Ray asks for

    def non_terminated_nodes(self, tag_filters: dict[str, str]) -> list[str]:
        """Ids of the nodes that exist and carry these tags. Ray calls it at every update."""
        self._note_settings()
        return [
            node_id for node_id, node in self._nodes().items() if tag_filters.items() <= self._tags_of(node).items()
        ]

    def is_running(self, node_id: str) -> bool:
        """Whether the modelled boot is over."""
        node = self._nodes().get(node_id)
        return node is not None and node.booted

    def is_terminated(self, node_id: str) -> bool:
        """Whether the node is gone."""
        return node_id not in self._nodes()

    def node_tags(self, node_id: str) -> dict[str, str]:
        """The tags that Ray gave the node; none for one that has failed since it was listed."""
        node = self._nodes().get(node_id)
        return self._tags_of(node) if node is not None else {}

    def _tags_of(self, node: CloudNode) -> dict[str, str]:
        return {**node.tags, **self._later_tags.get(node.node_id, {})}

    def set_node_tags(self, node_id: str, tags: dict[str, str]) -> None:
        """Add tags to a node; v1 does so."""
        self._later_tags.setdefault(node_id, {}).update(tags)

    def internal_ip(self, node_id: str) -> str:
        """The node's address; its id while it has none, by which v1 knows nodes that share one address."""
        node = self._nodes().get(node_id)
        return (node.ip if node is not None else "") or node_id

    def external_ip(self, node_id: str) -> str:
        """As `internal_ip`."""
        return self.internal_ip(node_id)

    def create_node_with_resources_and_labels(
        self,
        node_config: dict[str, Any],
        tags: dict[str, str],
        count: int,
        resources: dict[str, float],
        labels: dict[str, str],
    ) -> None:
        """Ask the cloud for `count` nodes: returns when it has answered, then they boot by themselves."""
        try:
            self._cloud.create(tags[TAG_RAY_USER_NODE_TYPE], tags, count, resources, labels)
        except LaunchRefused as answer:
            raise NodeLaunchException(answer.category, answer.description, None) from answer

    def create_node(self, node_config: dict[str, Any], tags: dict[str, str], count: int) -> None:
        """Ray calls this only for providers without resources and labels."""
        self.create_node_with_resources_and_labels(node_config, tags, count, {}, {})

    def terminate_node(self, node_id: str) -> None:
        """Take the node out of the list at once; it ends in the background."""
        self._cloud.terminate(node_id)
        self._later_tags.pop(node_id, None)

    @staticmethod
    def bootstrap_config(cluster_config: dict[str, Any]) -> dict[str, Any]:
        """Nothing to add: `orchestrate` wrote the whole config."""
        return cluster_config

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
