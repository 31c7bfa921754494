"""A simulated machine, and a request for machines."""

from dataclasses import dataclass, field

from orchestrator.model.cluster import NodeType
from orchestrator.model.events import NodeState
from orchestrator.model.latency import NodeLatencies


@dataclass(slots=True, eq=False)
class SimulatedMachine:
    """A machine, from its request until its end. It entered `state` at `since` (virtual seconds).

    `cause` is the reason of its termination.
    """

    machine_id: str
    kind: NodeType
    is_head: bool
    ip: str
    latencies: NodeLatencies
    lifetime_s: float
    tags: dict[str, str] = field(default_factory=dict)
    state: NodeState = "requested"
    since: float | None = None
    booted: bool = False
    boots_at: float = 0.0
    installing: bool = False
    ray_node_id: str = ""
    cause: str = ""

    @property
    def node_type(self) -> str:
        """The name of the machine's node type."""
        return self.kind.name


@dataclass(slots=True, eq=False)
class Call:
    """A launch request that the cloud answers after `seconds`."""

    seconds: float
    machines: list[SimulatedMachine]
    fails: bool
