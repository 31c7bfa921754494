"""What a simulated world offers to Ray's autoscaler: plain values, so that the world itself knows nothing of Ray."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from orchestrator.model.cluster import ClusterShape
from orchestrator.model.settings import Settings


class LaunchRefused(Exception):
    """The cloud refuses a request; `category` is its error code, such as `InsufficientInstanceCapacity`."""

    def __init__(self, category: str, description: str) -> None:
        super().__init__(f"{category}: {description}")
        self.category = category
        self.description = description


def no_capacity(node_type: str) -> LaunchRefused:
    """The cloud has no machine of this type left."""
    return LaunchRefused("InsufficientInstanceCapacity", f"no capacity for {node_type}")


def request_failed() -> LaunchRefused:
    """The cloud fails for no reason of ours."""
    return LaunchRefused("RequestFailed", "the cloud refused the request (failure_rate)")


class Machine(Protocol):
    """A machine that exists. `tags` are Ray's, and Ray changes them."""

    @property
    def ip(self) -> str:
        """Its address."""
        ...

    @property
    def booted(self) -> bool:
        """Whether Ray could be started on it."""
        ...

    @property
    def tags(self) -> dict[str, str]:
        """What Ray has written on it."""
        ...


class LaunchCall(Protocol):
    """A request to the cloud that is under way."""

    @property
    def seconds(self) -> float:
        """After how long it is answered."""
        ...


@dataclass(slots=True)
class RayNodeView:
    """A node as the GCS has it. `revision` grows with each change, but for the passing of `idle_since`.

    `status` is `running`, `idle`, `draining` or `dead`; times are UNIX seconds; `used` is resources taken by tasks.
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
    used_slots: int = 0
    revision: int = 0


class World(Protocol):
    """A simulated cloud with a simulated Ray on it. All that Ray's autoscaler reads and does goes through here."""

    shape: ClusterShape
    settings: Settings

    def now(self) -> float:
        """Virtual time, as UNIX seconds."""
        ...

    def call_later(self, seconds: float, call: Callable[[], None]) -> None:
        """Run `call` when that much virtual time has passed."""
        ...

    def random_bits(self) -> int:
        """128 random bits, the same in each run with the same seed."""
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
        """The answer to what `begin_launch` returned: the machines exist from now on. Raises LaunchRefused."""
        ...

    def terminate(self, machine_ids: Iterable[str]) -> None:
        """Take machines out of the cluster."""
        ...

    def begin_install(self, machine_id: str) -> float:
        """Install Ray on a machine as soon as it has booted; returns how many seconds from now that is done."""
        ...

    def finish_install(self, machine_id: str) -> bool:
        """The installation is over: the node joins, unless the machine is gone (False)."""
        ...

    # The GCS

    def idle_since(self) -> Iterable[float]:
        """Since when each idle worker has been idle, as UNIX seconds."""
        ...

    def ray_nodes(self) -> Iterable[RayNodeView]:
        """Living nodes and those that died lately."""
        ...

    def pending_tasks(self) -> int:
        """The tasks that wait for a node, as the GCS knows by now."""
        ...

    @property
    def task_resources(self) -> Mapping[str, float]:
        """What each task needs."""
        ...

    @property
    def task_labels(self) -> Mapping[str, str]:
        """The labels that a node must have for a task."""
        ...

    def drain_if_idle(self, node_id: bytes) -> bool:
        """Ask a node to drain; False if it has work."""
        ...

    def stop_ray(self, node_ids: Iterable[bytes]) -> list[bytes]:
        """End Ray on nodes, work or not; returns those that were there."""
        ...
