"""Prometheus targets for Ray's own metrics, with the missing labels: node type and architecture."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from orchestrator.observer.observer import Observer


class Target(NamedTuple):
    """An address to scrape, `host:port`, and labels for all of its series."""

    address: str
    labels: Mapping[str, str]


def targets_of(observer: Observer, head_ports: Mapping[str, int] | None = None) -> list[Target]:
    """Return the metrics ports of the live nodes. `head_ports` are additional ports of the head, by server name."""
    snapshot = observer.latest
    if snapshot is None:
        return []
    targets = []
    for row in snapshot.nodes:
        if row.status == "dead" or not row.ip:
            continue
        traits = observer.describe(row.node_type, row.labels, row.total)
        labels = {
            "node": row.node,
            "node_type": row.node_type,
            "arch": traits.arch,
            "instance_type": traits.instance_type,
            "ray_node_id": row.ray_node_id,
        }
        ports = {"node": row.metrics_port, **(head_ports or {} if row.is_head else {})}
        targets += [
            Target(f"{_host(row.ip)}:{port}", {**labels, "ray_port": name}) for name, port in ports.items() if port
        ]
    return targets


def as_service_discovery(targets: Iterable[Target], ids: Mapping[str, str]) -> list[dict[str, object]]:
    """Return the JSON for Prometheus' HTTP service discovery. All targets get the labels `ids`."""
    groups = ((target.address, {**ids, **target.labels}) for target in targets)
    return [
        {"targets": [address], "labels": {name: value for name, value in labels.items() if value}}
        for address, labels in groups
    ]


def _host(ip: str) -> str:
    return f"[{ip}]" if ":" in ip else ip
