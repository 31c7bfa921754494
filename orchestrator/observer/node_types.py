"""The node types of a cluster that nobody described: what their first nodes show."""

from collections.abc import Iterator, Mapping

from orchestrator.model.events import NodeTypeEvent
from orchestrator.model.snapshot import NodeRow, Snapshot

_RAYS_OWN_LABELS = "ray.io/"
_OF_ONE_NODE = ("node:", "bundle", "object_store_memory")
_OF_A_GROUP = "_group_"


class NodeTypes:
    """The node types seen until now."""

    def __init__(self) -> None:
        self._seen: set[str] = set()

    def new(self, snapshot: Snapshot) -> Iterator[NodeTypeEvent]:
        """Yield an event for each type that a snapshot shows for the first time."""
        for row in snapshot.nodes:
            if row.node_type not in self._seen and row.status != "dead" and row.total:
                self._seen.add(row.node_type)
                yield _event(snapshot.t, row)


def _event(t: float, row: NodeRow) -> NodeTypeEvent:
    return NodeTypeEvent(
        t=t, node_type=row.node_type, is_head=row.is_head, resources=_of_the_type(row.total), labels=_labels(row)
    )


def _of_the_type(total: Mapping[str, float]) -> dict[str, float]:
    """Return a node's resources without those that Ray gives to this node alone, or to a placement group."""
    return {
        name: amount for name, amount in total.items() if not name.startswith(_OF_ONE_NODE) and _OF_A_GROUP not in name
    }


def _labels(row: NodeRow) -> dict[str, str]:
    return {key: value for key, value in row.labels.items() if not key.startswith(_RAYS_OWN_LABELS)}
