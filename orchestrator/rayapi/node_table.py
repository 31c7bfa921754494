"""A Ray NodeProvider over a table of nodes: the methods that every provider of ours answers alike."""

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, Protocol

from ray.autoscaler.node_provider import NodeProvider


class ListedNode(Protocol):
    """A node in the table."""

    @property
    def booted(self) -> bool:
        """Return true once the node has booted."""
        ...


class NodeTableProvider(NodeProvider):  # type: ignore[misc]
    """Answers Ray from `nodes()`. A subclass launches and ends nodes, and knows their tags and addresses."""

    @abstractmethod
    def nodes(self) -> Mapping[str, ListedNode]:
        """Return the nodes that exist, by id."""

    @abstractmethod
    def internal_ip(self, node_id: str) -> str | None:
        """Return the node's address."""

    @abstractmethod
    def create_node_with_resources_and_labels(
        self,
        node_config: dict[str, Any],
        tags: dict[str, str],
        count: int,
        resources: dict[str, float],
        labels: dict[str, str],
    ) -> None:
        """Launch `count` nodes."""

    def is_running(self, node_id: str) -> bool:
        """Return true if the node has booted."""
        node = self.nodes().get(node_id)
        return node is not None and node.booted

    def is_terminated(self, node_id: str) -> bool:
        """Return true if the node is gone."""
        return node_id not in self.nodes()

    def external_ip(self, node_id: str) -> str | None:
        """Return the node's only address."""
        return self.internal_ip(node_id)

    def create_node(self, node_config: dict[str, Any], tags: dict[str, str], count: int) -> None:
        """Launch nodes; older calls of Ray name neither resources nor labels."""
        self.create_node_with_resources_and_labels(node_config, tags, count, {}, {})

    @staticmethod
    def bootstrap_config(cluster_config: dict[str, Any]) -> dict[str, Any]:
        """Return the config as it is: `orchestrate` wrote all of it."""
        return cluster_config
