"""The cluster shape: the node types, their resources and their limits."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, Self

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from orchestrator.model.arch import Arch
from orchestrator.model.base import FrozenModel, NonNegative
from orchestrator.model.labels import ACCELERATOR_TYPE, NODE_GROUP, satisfies
from orchestrator.model.latency import LaunchModel
from orchestrator.model.ray_latencies import RayModel
from orchestrator.model.settings import Settings
from orchestrator.model.task_needs import Needs

MAX_NODES = 1_000_000
Count = Annotated[int, Field(ge=0, le=MAX_NODES)]
# Fields that the node types of older trials don't have, and their values there.
_ADDED_LATER: dict[str, Any] = {"priority": 0, "idle_timeout_s": None}
_ACCELERATOR = "accelerator_type:"


class NodeType(FrozenModel):
    """One node type of a cluster config. `resources` are Ray's logical ones (`CPU` in cores).

    Only the v2 autoscaler acts on `priority` and `idle_timeout_s`. The latter replaces the cluster's idle timeout.
    """

    name: Annotated[str, Field(min_length=1)]
    arch: Arch
    instance_type: str = ""
    resources: dict[str, Annotated[NonNegative, Field(le=1e15)]] = Field(default_factory=dict)
    labels: dict[str, str] = Field(default_factory=dict)
    min_workers: Count = 0
    max_workers: Count = 0
    priority: Annotated[int, Field(ge=-(2**31), le=2**31 - 1)] = 0
    idle_timeout_s: Annotated[NonNegative, Field(le=1e14)] | None = None

    @model_serializer(mode="wrap")
    def _without_later_defaults(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Omit the fields that older trials didn't have, unless they are set: a trial's id is a hash of this."""
        return {
            name: value for name, value in dump(self).items() if name not in _ADDED_LATER or value != _ADDED_LATER[name]
        }

    @model_validator(mode="after")
    def _min_is_not_above_max(self) -> Self:
        if self.min_workers > self.max_workers:
            raise ValueError(f"{self.name}: min_workers {self.min_workers} is above max_workers {self.max_workers}")
        return self

    @property
    def cpus(self) -> float:
        """Return the logical CPUs of one node."""
        return self.resources.get("CPU", 0.0)

    @property
    def labels_when_running(self) -> dict[str, str]:
        """Labels of a running node: Ray adds its own to those of the file."""
        own = {NODE_GROUP: self.name}
        for name in self.resources:
            if name.startswith(_ACCELERATOR):
                own[ACCELERATOR_TYPE] = name.removeprefix(_ACCELERATOR)
        return {**own, **self.labels}

    def fits(self, resources: Mapping[str, float], labels: Mapping[str, str]) -> bool:
        """Return true if an empty node of this type could run a task that needs `resources`.

        `labels` are the task's label selectors.
        """
        return self._holds(resources) and satisfies(self.labels_when_running, labels)

    def fits_any(self, needs: Iterable[Needs]) -> bool:
        """Return true if an empty node of this type could run a task of any of these needs."""
        return any(self.fits(each.resources, each.labels) for each in needs)

    def is_launched_for(self, resources: Mapping[str, float], labels: Mapping[str, str]) -> bool:
        """Return true if v2 may launch a node of this type for such a task: it knows the labels of the file only."""
        return self._holds(resources) and satisfies(self.labels, labels)

    def _holds(self, resources: Mapping[str, float]) -> bool:
        return all(self.resources.get(name, 0.0) >= amount for name, amount in resources.items() if amount > 0)

    def slots(self, resources: Mapping[str, float], labels: Mapping[str, str]) -> int | None:
        """Return the number of such tasks that one node can run at once; None if no resource limits it."""
        if not self.fits(resources, labels):
            return 0
        limits = (
            _in_rays_units(self.resources.get(name, 0.0)) // max(1, _in_rays_units(need))
            for name, need in resources.items()
            if need > 0
        )
        return min(limits, default=None)


def _in_rays_units(amount: float) -> int:
    """Return an amount of a resource in ten-thousandths, as Ray counts it."""
    return round(amount * 10_000)


class ClusterShape(FrozenModel):
    """A head, and worker types with their limits; `max_workers` bounds all workers together.

    Ray runs tasks on the head, too, if it has what they need. A head's type with `max_workers` above 0 is one more type
    of worker, see `launchable`.
    """

    head: NodeType
    workers: tuple[NodeType, ...]
    max_workers: Count
    launch: LaunchModel = LaunchModel()
    simulation: RayModel = RayModel()

    @model_validator(mode="after")
    def _has_something_to_scale(self) -> Self:
        if not self.launchable:
            raise ValueError("there is no worker type")
        return self

    @model_validator(mode="after")
    def _head_has_no_minimum(self) -> Self:
        if self.head.min_workers:
            raise ValueError(
                f"{self.head.name}: min_workers of the head's type must be 0, since v2 counts the head itself as one"
                " of them and v1 doesn't"
            )
        return self

    @model_validator(mode="after")
    def _baseline_is_within_the_limit(self) -> Self:
        if (least := sum(self.baseline.values())) > self.max_workers:
            raise ValueError(f"max_workers {self.max_workers} is below the sum of all min_workers, {least}")
        return self

    @model_validator(mode="after")
    def _launch_model_names_known_types(self) -> Self:
        known = {worker.name for worker in self.launchable}
        for key, named in (("node_types", self.launch.node_types), ("capacity", self.launch.capacity)):
            if unknown := sorted(named.keys() - known):
                raise ValueError(f"launch.{key}: {unknown[0]!r} is not a worker type; use one of {sorted(known)}")
        return self

    @property
    def launchable(self) -> tuple[NodeType, ...]:
        """The types of which an autoscaler may launch workers: `workers`, and the head's if its limit allows it."""
        return (*self.workers, self.head) if self.head.max_workers else self.workers

    @property
    def baseline(self) -> dict[str, int]:
        """Return the number of nodes of each worker type without any demand."""
        return {node_type.name: node_type.min_workers for node_type in self.launchable}

    def head_cpus_for(self, needs: Iterable[Needs]) -> float:
        """Return the head's CPUs if it could run a task of any of these needs, else 0."""
        return self.head.cpus if self.head.fits_any(needs) else 0.0

    @property
    def max_cpus(self) -> float:
        """Return the CPUs of the largest cluster within the limits (types with most CPUs first), with the head's."""
        return self.max_cpus_for((Needs(),))

    def max_cpus_for(self, needs: Sequence[Needs]) -> float:
        """Return the same, counting only nodes that could run a task of any of these needs."""
        left, cpus = self.max_workers, self.head_cpus_for(needs)
        able = (node_type for node_type in self.launchable if node_type.fits_any(needs))
        for node_type in sorted(able, key=lambda node_type: -node_type.cpus):
            nodes = min(left, node_type.max_workers)
            cpus, left = cpus + nodes * node_type.cpus, left - nodes
        return cpus

    @property
    def baseline_cpus(self) -> float:
        """Return the CPUs of the workers of the smallest cluster."""
        return sum(node_type.min_workers * node_type.cpus for node_type in self.workers)

    def node_type(self, name: str) -> NodeType | None:
        """Return the node type of this name. The head's type is included."""
        return next((node_type for node_type in (self.head, *self.workers) if node_type.name == name), None)

    def with_settings(self, settings: Settings) -> "ClusterShape":
        """Return the shape with the settings' worker limits for each type but the head's.

        Raises ValueError if they don't fit.
        """
        if settings.min_workers is None and settings.max_workers is None:
            return self
        limits = {
            key: value
            for key, value in (("min_workers", settings.min_workers), ("max_workers", settings.max_workers))
            if value is not None
        }
        workers = tuple(worker.replace(**limits) for worker in self.workers)
        total = self.max_workers
        if settings.max_workers is not None:
            total = min(MAX_NODES, sum(worker.max_workers for worker in (*workers, self.head)))
        return self.replace(workers=workers, max_workers=total)

    def describe(self) -> str:
        """Return one line for people: `x86_worker_node 1-3 x 2 CPU (x86_64, m7i.2xlarge) + …`.

        A head without CPUs is left out.
        """
        counted = [(f"{w.name} {w.min_workers}-{w.max_workers}", w) for w in self.launchable]
        if self.head.cpus:
            counted.insert(0, (f"{self.head.name} (head)", self.head))
        return " + ".join(
            f"{name} x {w.cpus:g} CPU ({', '.join(filter(None, (w.arch, w.instance_type)))})" for name, w in counted
        )
