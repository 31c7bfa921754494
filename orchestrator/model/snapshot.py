"""The result of one poll of a Ray cluster: rows of plain values, times in UNIX seconds."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from orchestrator.model.task_needs import shape_of

NodeStatus = Literal["running", "idle", "draining", "dead"]
DeathReason = Literal["unspecified", "expected", "unexpected", "preempted", "idle"]


@dataclass(frozen=True, slots=True)
class NodeRow:
    """One node of the GCS node table, with its load as the autoscaler sees it."""

    ray_node_id: str
    instance_id: str
    node_type: str
    is_head: bool
    status: NodeStatus
    start_time: float
    end_time: float | None = None
    death_reason: DeathReason = "unspecified"
    death_message: str = ""
    idle_s: float = 0.0
    ip: str = ""
    metrics_port: int = 0
    total: Mapping[str, float] = field(default_factory=dict)
    used: Mapping[str, float] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)

    @property
    def node(self) -> str:
        """Return the node's id in events and metrics: the provider's id, or Ray's if the provider has none."""
        return self.instance_id or self.ray_node_id


@dataclass(frozen=True, slots=True)
class PendingNode:
    """A node that the autoscaler requested and Ray doesn't know yet. `instance_id` can still be empty."""

    node_type: str
    instance_id: str = ""
    detail: str = ""
    count: int = 1


@dataclass(frozen=True, slots=True)
class Demand:
    """A number (`count`) of pending tasks or actors of one resource shape."""

    resources: Mapping[str, float]
    count: int

    @property
    def shape(self) -> str:
        """Return the shape as a label, such as `CPU=1` or `CPU=1,Graviton=0.5`."""
        return shape_of(self.resources)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The cluster at time `t`. `version` is the GCS's own counter; only a restart decreases it."""

    t: float
    nodes: tuple[NodeRow, ...] = ()
    pending: tuple[PendingNode, ...] = ()
    demand: tuple[Demand, ...] = ()
    version: int = 0
    session: str = ""

    @property
    def awaited(self) -> Counter[str]:
        """Return the number of nodes that the autoscaler has requested and that don't exist yet, by node type."""
        counts: Counter[str] = Counter()
        for pending in self.pending:
            if not pending.instance_id:
                counts[pending.node_type] += pending.count
        return counts

    @property
    def alive_workers(self) -> dict[str, int]:
        """Return the live worker nodes (running, idle or draining), by node type."""
        counts: dict[str, int] = {}
        for node in self.nodes:
            if node.status != "dead" and not node.is_head:
                counts[node.node_type] = counts.get(node.node_type, 0) + 1
        return counts
