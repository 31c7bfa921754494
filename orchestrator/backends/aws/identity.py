"""Identities of nodes under Ray's v1 autoscaler, which on EC2 tells a node neither its instance id nor its type."""

import dataclasses
from collections.abc import Mapping

from orchestrator.backends.aws.machines import Identity
from orchestrator.model.snapshot import Snapshot
from orchestrator.observer.observer import ClusterView


class IdentifiedView:
    """A view of a cluster in which nodes without an instance id get that of their private address."""

    def __init__(self, view: ClusterView, identities: Mapping[str, Identity]) -> None:
        self._view = view
        self._identities = identities

    def poll(self) -> Snapshot:
        """Return a snapshot of the cluster. See `ClusterView.poll`."""
        snapshot = self._view.poll()
        rows = []
        for row in snapshot.nodes:
            if not row.instance_id:
                known = self._identities.get(row.ip)
                if known is None:
                    continue  # EC2 is asked once a second, and its next answer has the node
                row = dataclasses.replace(row, instance_id=known.instance_id, node_type=known.node_type)
            rows.append(row)
        return dataclasses.replace(snapshot, nodes=tuple(rows))
