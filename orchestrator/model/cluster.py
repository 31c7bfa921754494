"""The cluster shape: the node types, their resources and their limits."""

from collections.abc import Mapping
from typing import Annotated, Self

from pydantic import Field, model_validator

from orchestrator.model.arch import Arch
from orchestrator.model.base import FrozenModel, NonNegative
from orchestrator.model.latency import LaunchModel
from orchestrator.model.ray_latencies import RayModel
from orchestrator.model.settings import Settings

MAX_NODES = 1_000_000
Count = Annotated[int, Field(ge=0, le=MAX_NODES)]


class NodeType(FrozenModel):
    """One node type of a cluster config. `resources` are Ray's logical resources (`CPU` in cores)."""

    name: Annotated[str, Field(min_length=1)]
    arch: Arch
    instance_type: str = ""
    resources: dict[str, Annotated[NonNegative, Field(le=1e15)]] = Field(default_factory=dict)
    labels: dict[str, str] = Field(default_factory=dict)
    min_workers: Count = 0
    max_workers: Count = 0

    @model_validator(mode="after")
    def _min_is_not_above_max(self) -> Self:
        if self.min_workers > self.max_workers:
            raise ValueError(f"{self.name}: min_workers {self.min_workers} is above max_workers {self.max_workers}")
        return self

    @property
    def cpus(self) -> float:
        """Return the logical CPUs of one node."""
        return self.resources.get("CPU", 0.0)

    def fits(self, resources: Mapping[str, float], labels: Mapping[str, str]) -> bool:
        """Return true if an empty node of this type could run a task that needs `resources` and `labels`."""
        enough = all(self.resources.get(name, 0.0) >= amount for name, amount in resources.items() if amount > 0)
        return enough and all(self.labels.get(key) == value for key, value in labels.items())

    def slots(self, resources: Mapping[str, float], labels: Mapping[str, str]) -> int | None:
        """Return the number of such tasks that one node runs at once; None if they need nothing that could run out."""
        if not self.fits(resources, labels):
            return 0
        limits = (
            _in_rays_units(self.resources.get(name, 0.0)) // max(1, _in_rays_units(amount))
            for name, amount in resources.items()
            if amount > 0
        )
        return min(limits, default=None)


def _in_rays_units(amount: float) -> int:
    """Return an amount of a resource in ten-thousandths, as Ray counts it."""
    return round(amount * 10_000)


class ClusterShape(FrozenModel):
    """A head, and worker types with their limits. `max_workers` limits all worker types together."""

    head: NodeType
    workers: Annotated[tuple[NodeType, ...], Field(min_length=1)]
    max_workers: Count
    launch: LaunchModel = LaunchModel()
    simulation: RayModel = RayModel()

    @model_validator(mode="after")
    def _baseline_is_within_the_limit(self) -> Self:
        if (least := sum(self.baseline.values())) > self.max_workers:
            raise ValueError(f"max_workers {self.max_workers} is below the sum of all min_workers, {least}")
        return self

    @model_validator(mode="after")
    def _launch_model_names_known_types(self) -> Self:
        known = {worker.name for worker in self.workers}
        for key, named in (("node_types", self.launch.node_types), ("capacity", self.launch.capacity)):
            if unknown := sorted(named.keys() - known):
                raise ValueError(f"launch.{key}: {unknown[0]!r} is not a worker type; use one of {sorted(known)}")
        return self

    @property
    def baseline(self) -> dict[str, int]:
        """Return the number of nodes of each worker type without any demand."""
        return {node_type.name: node_type.min_workers for node_type in self.workers}

    @property
    def max_cpus(self) -> float:
        """Return the CPUs of the largest cluster within the limits (types with most CPUs first)."""
        return self.max_cpus_for({}, {})

    def max_cpus_for(self, resources: Mapping[str, float], labels: Mapping[str, str]) -> float:
        """Return the same, counting only nodes that could run a task that needs `resources` and `labels`."""
        left, cpus = self.max_workers, 0.0
        able = (node_type for node_type in self.workers if node_type.fits(resources, labels))
        for node_type in sorted(able, key=lambda node_type: -node_type.cpus):
            nodes = min(left, node_type.max_workers)
            cpus, left = cpus + nodes * node_type.cpus, left - nodes
        return cpus

    @property
    def baseline_cpus(self) -> float:
        """Return the CPUs of the smallest cluster."""
        return sum(node_type.min_workers * node_type.cpus for node_type in self.workers)

    def node_type(self, name: str) -> NodeType | None:
        """Return the node type of this name. The head's type is included."""
        return next((node_type for node_type in (self.head, *self.workers) if node_type.name == name), None)

    def with_settings(self, settings: Settings) -> "ClusterShape":
        """Return the shape with the settings' worker limits for each type. Raises ValueError if they conflict."""
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
            total = min(MAX_NODES, sum(worker.max_workers for worker in workers))
        return self.replace(workers=workers, max_workers=total)

    def describe(self) -> str:
        """Return a summary such as `x86_worker_node 1–3 × 2 CPU (x86_64, m7i.2xlarge) + …`."""
        return " + ".join(
            f"{w.name} {w.min_workers}-{w.max_workers} x {w.cpus:g} CPU "
            f"({', '.join(filter(None, (w.arch, w.instance_type)))})"
            for w in self.workers
        )
