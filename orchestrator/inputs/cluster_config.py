"""Reads a cluster config in Ray's own format into a cluster shape, with errors that name file and key."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import jsonschema
from pydantic import BaseModel, ValidationError

from orchestrator.errors import SpecError
from orchestrator.inputs.yaml_file import read_yaml_mapping
from orchestrator.model.arch import infer_arch
from orchestrator.model.cluster import ClusterShape, NodeType
from orchestrator.model.latency import LaunchModel
from orchestrator.model.ray_latencies import RayModel
from orchestrator.model.settings import Settings
from orchestrator.rayapi.version import cluster_config_schema

Model = TypeVar("Model", bound=BaseModel)


@dataclass(frozen=True)
class ClusterFile:
    """A cluster config: `raw` as Ray reads it, `shape` as this program does, and the settings that it sets."""

    path: Path
    raw: dict[str, Any]
    shape: ClusterShape
    upscaling_speed: float | None
    idle_timeout_minutes: float | None

    @property
    def foreign_provider(self) -> str | None:
        """Return the node provider that the file names, such as `aws`; None if it names none. No backend uses it."""
        provider = self.raw.get("provider", {})
        named = provider.get("module") or provider.get("type")
        return None if named is None else str(named)


def read_cluster_file(path: Path) -> ClusterFile:
    """The cluster config at `path`, checked against Ray's own schema. Raises SpecError."""
    raw = read_yaml_mapping(path)
    _check_against_rays_schema(path, raw)
    settings = _build(
        path,
        "",
        Settings,
        # Ray takes a speed of 0 as "one node at an update", which is its default too.
        upscaling_speed=raw.get("upscaling_speed") or None,
        idle_timeout_minutes=raw.get("idle_timeout_minutes"),
    )
    provider = raw["provider"]
    sections = {name: provider.get(name, {}) for name in ("launch", "simulation")}
    for name, section in sections.items():
        if not isinstance(section, dict):
            raise SpecError(f"{path}: provider.{name}", "expected keys and values")
    updaters = not provider.get("disable_node_updaters", False)
    return ClusterFile(
        path,
        raw,
        _shape(
            path,
            raw,
            _build(path, "provider.launch", LaunchModel, **sections["launch"]),
            _build(path, "provider.simulation", RayModel, **{"node_updaters": updaters, **sections["simulation"]}),
        ),
        settings.upscaling_speed,
        settings.idle_timeout_minutes,
    )


def _check_against_rays_schema(path: Path, raw: dict[str, Any]) -> None:
    if "target_utilization_fraction" in raw:
        raise SpecError(
            f"{path}: target_utilization_fraction",
            "Ray's schema rejects this key",
            "sweep it with --target-utilization-fraction and --autoscaler v1 instead",
        )
    provider = raw.get("provider")
    if isinstance(provider, dict):
        # Ray requires a type. Here the backend chooses the node provider, so a file may leave it out.
        raw = {**raw, "provider": {"type": "external", **provider}}
    try:
        jsonschema.validate(raw, cluster_config_schema())
    except jsonschema.ValidationError as error:
        key = ".".join(str(part) for part in error.absolute_path) or "top level"
        raise SpecError(f"{path}: {key}", error.message[:200]) from None


def _shape(path: Path, raw: dict[str, Any], launch: LaunchModel, simulation: RayModel) -> ClusterShape:
    types = raw.get("available_node_types") or {}
    head = raw.get("head_node_type")
    if head is None:
        raise SpecError(f"{path}: head_node_type", "is missing")
    if head not in types:
        raise SpecError(f"{path}: head_node_type", f"{head!r} isn't one of available_node_types")
    workers = [name for name in types if name != head]
    if not workers:
        raise SpecError(f"{path}: available_node_types", "no worker node type, so there is nothing to scale")
    total = raw.get("max_workers")
    limits = {name: types[name].get("max_workers", total) for name in workers}
    unlimited = [name for name, limit in limits.items() if limit is None]
    if unlimited:
        raise SpecError(f"{path}: available_node_types.{unlimited[0]}.max_workers", "is missing, as is the total")
    if total is None:
        total = sum(limits.values())
    if total == 0 or not any(limits.values()):
        raise SpecError(f"{path}: max_workers", "0 for all worker node types, so there is nothing to scale")
    return _build(
        path,
        "",
        ClusterShape,
        head=_node_type(path, head, types[head], types[head].get("max_workers", 0)),
        workers=tuple(_node_type(path, name, types[name], limits[name]) for name in workers),
        max_workers=total,
        launch=launch,
        simulation=simulation,
    )


def _node_type(path: Path, name: str, section: dict[str, Any], max_workers: int) -> NodeType:
    resources, labels = section.get("resources") or {}, section.get("labels") or {}
    instance_type = str((section.get("node_config") or {}).get("InstanceType", ""))
    return _build(
        path,
        f"available_node_types.{name}",
        NodeType,
        name=name,
        arch=infer_arch(name=name, instance_type=instance_type, labels=labels, resources=resources),
        instance_type=instance_type,
        resources=resources,
        labels=labels,
        min_workers=section.get("min_workers", 0),
        max_workers=max_workers,
    )


def _build(path: Path, key: str, model: type[Model], **values: Any) -> Model:
    """A model from values of the file; a fault is a SpecError at the key below `key`."""
    try:
        return model(**values)
    except ValidationError as error:
        fault = error.errors()[0]
        where = ".".join(str(part) for part in (key, *fault["loc"]) if part != "")
        if fault["type"] == "model_type":
            raise SpecError(f"{path}: {where}", "expected keys and values") from None
        if fault["type"] == "extra_forbidden":
            raise SpecError(f"{path}: {where}", "unknown key") from None
        problem = fault["msg"].removeprefix("Value error, ").removeprefix(f"{key.rpartition('.')[2]}: ")
        of_the_shape = "provider" if problem.startswith("launch.") else "max_workers"
        raise SpecError(f"{path}: {where or of_the_shape}", problem) from None
