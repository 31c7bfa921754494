"""Where Prometheus finds Ray's own metrics: the nodes that live, each with what Ray's metrics don't say of it."""

from collections.abc import Mapping
from typing import Any

import pytest

from orchestrator.metrics.discovery import Target, as_service_discovery, targets_of
from orchestrator.metrics.exporter import Exporter
from orchestrator.model.events import Event
from orchestrator.model.snapshot import NodeRow, NodeStatus, Snapshot
from orchestrator.observer.node_tracker import NodeTraits
from orchestrator.observer.observer import Observer

HEAD_PORTS = {"autoscaler": 44217, "dashboard": 44227}


def describe(node_type: str, labels: Mapping[str, str], resources: Mapping[str, float]) -> NodeTraits:
    return NodeTraits("arm64", "m8g.xlarge") if node_type == "arm" else NodeTraits("x86_64")


def row(name: str = "n1", **more: Any) -> NodeRow:
    values: dict[str, Any] = {
        "instance_id": name,
        "node_type": "x86",
        "is_head": False,
        "status": "running",
        "ip": "10.0.0.7",
        "metrics_port": 8080,
        **more,
    }
    return NodeRow(ray_node_id=f"ray-{name}", start_time=1.0, **values)


class PreparedView:
    """A cluster of these nodes."""

    def __init__(self, *rows: NodeRow) -> None:
        self.rows = rows

    def poll(self) -> Snapshot:
        return Snapshot(t=10.0, nodes=self.rows)


def looked(*rows: NodeRow) -> Observer:
    """An observer that has looked at these nodes once."""
    observer = Observer(PreparedView(*rows), describe, host=None)
    observer.step()
    return observer


def addresses(*rows: NodeRow, head_ports: Mapping[str, int] | None = None) -> list[str]:
    return [target.address for target in targets_of(looked(*rows), head_ports)]


def test_a_node_is_a_target_with_what_it_is() -> None:
    assert targets_of(looked(row(node_type="arm"))) == [
        Target(
            "10.0.0.7:8080",
            {
                "node": "n1",
                "node_type": "arm",
                "arch": "arm64",
                "instance_type": "m8g.xlarge",
                "ray_node_id": "ray-n1",
                "ray_port": "node",
            },
        )
    ]


@pytest.mark.parametrize("instance_id", ["i-0abc", ""])
def test_a_target_is_called_as_its_node_is_in_our_own_metrics(instance_id: str) -> None:
    observer, seen = Observer(PreparedView(row(instance_id=instance_id)), describe, host=None), list[Event]()
    observer.attach(seen.append)
    observer.step()
    exporter = Exporter("observed")
    exporter.watch("now")
    for event in seen:
        exporter.event(event)
    (state,) = (sample for family in exporter.collect() for sample in family.samples if "node" in sample.labels)
    (target,) = targets_of(observer)

    assert state.labels["node"] == target.labels["node"] == (instance_id or "ray-n1")


def test_before_the_first_look_there_are_no_targets() -> None:
    assert targets_of(Observer(PreparedView(), describe, host=None), HEAD_PORTS) == []


@pytest.mark.parametrize("status", ["running", "idle", "draining"])
def test_what_lives_is_scraped(status: NodeStatus) -> None:
    assert addresses(row(status=status)) == ["10.0.0.7:8080"]


def test_the_dead_are_left_out() -> None:
    assert addresses(row("n1", status="dead"), row("n2", metrics_port=9090)) == ["10.0.0.7:9090"]


@pytest.mark.parametrize("more", [{"metrics_port": 0}, {"ip": ""}])
def test_a_node_whose_port_is_not_known_is_left_out(more: dict[str, Any]) -> None:
    assert addresses(row(**more), head_ports=HEAD_PORTS) == []


def test_the_head_has_more_ports() -> None:
    head = row("head", is_head=True, node_type="head", ip="127.0.0.1")
    targets = targets_of(looked(row(), head), HEAD_PORTS)

    assert [(target.address, target.labels["ray_port"], target.labels["node_type"]) for target in targets] == [
        ("10.0.0.7:8080", "node", "x86"),
        ("127.0.0.1:8080", "node", "head"),
        ("127.0.0.1:44217", "autoscaler", "head"),
        ("127.0.0.1:44227", "dashboard", "head"),
    ]


def test_the_heads_other_ports_are_there_without_its_own() -> None:
    head = row("head", is_head=True, metrics_port=0)

    assert addresses(head, head_ports=HEAD_PORTS) == ["10.0.0.7:44217", "10.0.0.7:44227"]


def test_a_head_of_which_no_more_is_known_has_its_own_port() -> None:
    assert addresses(row("head", is_head=True)) == ["10.0.0.7:8080"]


def test_nodes_of_one_host_are_told_apart_by_their_ports() -> None:
    assert addresses(row("n1", metrics_port=1001), row("n2", metrics_port=1002)) == ["10.0.0.7:1001", "10.0.0.7:1002"]


def test_an_ipv6_address_stands_in_brackets() -> None:
    assert addresses(row(ip="fd00::7")) == ["[fd00::7]:8080"]


def test_service_discovery_has_a_group_with_all_labels_for_each_target() -> None:
    targets = [Target("a:1", {"arch": "arm64"}), Target("b:2", {"arch": "x86_64"})]

    assert as_service_discovery(targets, {"sweep_id": "c0ffee00", "trial_id": "t1"}) == [
        {"targets": ["a:1"], "labels": {"sweep_id": "c0ffee00", "trial_id": "t1", "arch": "arm64"}},
        {"targets": ["b:2"], "labels": {"sweep_id": "c0ffee00", "trial_id": "t1", "arch": "x86_64"}},
    ]


def test_service_discovery_leaves_out_labels_that_say_nothing() -> None:
    targets = [Target("a:1", {"arch": "x86_64", "instance_type": ""})]

    assert as_service_discovery(targets, {"sweep_id": ""}) == [{"targets": ["a:1"], "labels": {"arch": "x86_64"}}]


def test_service_discovery_of_nothing_is_an_empty_list() -> None:
    assert as_service_discovery([], {"sweep_id": "c0ffee00"}) == []
