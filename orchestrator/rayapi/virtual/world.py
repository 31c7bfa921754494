"""The interface between a simulated world and Ray's autoscaler, in plain values: the world doesn't depend on Ray."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from orchestrator.model.cluster import ClusterShape
from orchestrator.model.settings import Settings
from orchestrator.model.task_needs import Needs


class LaunchRefused(Exception):
    """The cloud refuses a request; `category` is its error code, such as `InsufficientInstanceCapacity`."""

    def __init__(self, category: str, description: str) -> None:
        super().__init__(f"{category}: {description}")
        self.category = category
        self.description = description


def no_capacity(node_type: str) -> LaunchRefused:
    """Return the refusal of a cloud that has no machine of this type left."""
    return LaunchRefused("InsufficientInstanceCapacity", f"no capacity for {node_type}")


def request_failed() -> LaunchRefused:
    """Return the refusal of a cloud that fails at random."""
    return LaunchRefused("RequestFailed", "the cloud refused the request (failure_rate)")


class Machine(Protocol):
    """A machine that exists. `tags` are Ray's, and Ray changes them."""

    @property
    def ip(self) -> str:
        """The machine's address."""
        ...

    @property
    def booted(self) -> bool:
        """True if Ray could be started on the machine."""
        ...

    @property
    def tags(self) -> dict[str, str]:
        """The tags that Ray has set."""
        ...


class LaunchCall(Protocol):
    """A request to the cloud that is under way."""

    @property
    def seconds(self) -> float:
        """Seconds until the cloud answers."""
        ...


@dataclass(frozen=True, slots=True)
class Pending:
    """Tasks, or actors, that wait for a node: how many, and what each needs."""

    needs: Needs
    count: int

    @property
    def cpus(self) -> float:
        """The CPUs of all of them."""
        return self.count * self.needs.resources.get("CPU", 0.0)


@dataclass(slots=True)
class RayNodeView:
    """A node as the GCS reports it. `revision` grows with each change, except with growing idle time.

    `status` is `running`, `idle`, `draining` or `dead`; times are UNIX seconds; `used` are the resources of
    which the GCS knows that they are in use there.
    """

    node_id: bytes
    machine_id: str
    node_type: str
    ip: str
    is_head: bool
    total: Mapping[str, float]
    labels: Mapping[str, str]
    status: str = "running"
    idle_since: float | None = None
    used: Mapping[str, float] = field(default_factory=dict)
    revision: int = 0


class World(Protocol):
    """A simulated cloud with a simulated Ray on it. Everything that Ray's autoscaler reads and does goes through it."""

    shape: ClusterShape
    settings: Settings

    def now(self) -> float:
        """Return the virtual time, as UNIX seconds."""
        ...

    def call_later(self, seconds: float, call: Callable[[], None]) -> None:
        """Run `call` when that much virtual time has passed."""
        ...

    def random_bits(self) -> int:
        """Return 128 random bits, the same in each run with the same seed."""
        ...

    # The cloud

    @property
    def machines(self) -> Mapping[str, Machine]:
        """The machines that exist, the head among them, in the order of their creation."""
        ...

    def begin_launch(self, node_type: str, count: int) -> LaunchCall:
        """Send a request for `count` machines."""
        ...

    def finish_launch(self, call: Any, tags: Mapping[str, str]) -> None:
        """Complete a call of `begin_launch`: the machines exist from now on. Raises LaunchRefused."""
        ...

    def terminate(self, machine_ids: Iterable[str]) -> None:
        """Terminate machines."""
        ...

    def begin_install(self, machine_id: str) -> float:
        """Install Ray on a machine after its boot. Returns the seconds from now until the installation is done."""
        ...

    def finish_install(self, machine_id: str) -> bool:
        """Complete an installation: the node joins. Returns False if the machine is gone."""
        ...

    # The GCS

    def idle_since(self) -> Iterable[tuple[str, float]]:
        """Return each idle worker's node type, and the start of its idle time in UNIX seconds."""
        ...

    def ray_nodes(self) -> Iterable[RayNodeView]:
        """Return the living nodes and those that died recently."""
        ...

    def all_needs(self) -> Sequence[Needs]:
        """Return the needs that tasks or requests of this simulation can have."""
        ...

    def demand(self) -> Sequence[Pending]:
        """Return the tasks that wait for a node, as far as the GCS knows."""
        ...

    def requested(self) -> Sequence[Mapping[str, float]]:
        """Return the bundles of the last call of Ray's `request_resources`."""
        ...

    def drain_if_idle(self, node_id: bytes) -> bool:
        """Ask a node to drain. Returns False if it has work."""
        ...

    def stop_ray(self, node_ids: Iterable[bytes]) -> list[bytes]:
        """Stop Ray on nodes, busy or idle. Returns the nodes that existed."""
        ...
