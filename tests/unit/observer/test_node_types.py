"""A node type is recorded once, as its first node shows it."""

from orchestrator.model.snapshot import NodeRow, Snapshot
from orchestrator.observer.node_types import NodeTypes


def row(name: str) -> NodeRow:
    total = {"CPU": 8.0, "memory": 1e9, "object_store_memory": 5e8, "node:10.0.0.1": 1.0, "Graviton": 1.0}
    total |= {"CPU_group_0_abc": 1.0, "bundle_group_abc": 1000.0}
    labels = {"ray.io/node-id": name, "market": "spot"}
    return NodeRow(name, name, "arm", False, "idle", 1.0, total=total, labels=labels)


def test_a_type_has_the_resources_of_its_nodes_but_not_those_of_one_node() -> None:
    types = NodeTypes()
    [event] = types.new(Snapshot(t=2.0, nodes=(row("a"), row("b"))))

    assert event.resources == {"CPU": 8.0, "memory": 1e9, "Graviton": 1.0}
    assert event.labels == {"market": "spot"}
    assert list(types.new(Snapshot(t=3.0, nodes=(row("c"),)))) == []
