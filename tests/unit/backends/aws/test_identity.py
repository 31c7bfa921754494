"""Nodes of v1 on EC2, which know neither their instance nor their type."""

from orchestrator.backends.aws.identity import IdentifiedView
from orchestrator.backends.aws.machines import Identity
from orchestrator.model.snapshot import NodeRow, Snapshot


class View:
    def __init__(self, *rows: NodeRow) -> None:
        self._rows = rows

    def poll(self) -> Snapshot:
        return Snapshot(t=1.0, nodes=self._rows)


def row(instance: str, ip: str, node_type: str = "worker") -> NodeRow:
    return NodeRow("ray", instance, node_type, False, "running", 0.0, ip=ip)


def test_a_node_gets_the_instance_at_its_address() -> None:
    view = IdentifiedView(View(row("", "10.0.0.5")), {"10.0.0.5": Identity("i-1", "x86")})

    assert [(each.instance_id, each.node_type) for each in view.poll().nodes] == [("i-1", "x86")]


def test_what_v2_says_of_a_node_counts() -> None:
    view = IdentifiedView(View(row("i-2", "10.0.0.5", "arm")), {"10.0.0.5": Identity("i-1", "x86")})

    assert [(each.instance_id, each.node_type) for each in view.poll().nodes] == [("i-2", "arm")]


def test_a_node_that_ec2_hasnt_described_yet_is_left_out() -> None:
    assert IdentifiedView(View(row("", "10.0.0.5")), {}).poll().nodes == ()
