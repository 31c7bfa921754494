"""A simulated machine, and a request for machines."""

from dataclasses import dataclass, field

from orchestrator.model.cluster import NodeType
from orchestrator.model.events import NodeState
from orchestrator.model.latency import NodeLatencies


@dataclass(slots=True, eq=False)
class SimulatedMachine:
    """A machine, from the request for it until its end. `since` (virtual seconds) is when it entered `state`.

    `cause` is why it is to end.
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
        """The name of its node type."""
        return self.kind.name


@dataclass(slots=True, eq=False)
class Call:
    """A request that the cloud answers after `seconds`."""

    seconds: float
    machines: list[SimulatedMachine]
    fails: bool
