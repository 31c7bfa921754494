"""Reads a cluster config in Ray's own format into a cluster shape, with errors that name file and key."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema
import yaml
from pydantic import ValidationError

from orchestrator import rayapi
from orchestrator.errors import SpecError
from orchestrator.model.arch import infer_arch
from orchestrator.model.delay import LaunchModel
from orchestrator.model.shape import ClusterShape, NodeType

MAX_FILE_BYTES = 1_000_000


@dataclass(frozen=True)
class ClusterFile:
    """A cluster config: `raw` as Ray reads it, `shape` as this program does."""

    path: Path
    raw: dict[str, Any]
    shape: ClusterShape

    @property
    def upscaling_speed(self) -> float | None:
        """Ray's `upscaling_speed`, if the file sets it."""
        return self.raw.get("upscaling_speed")

    @property
    def idle_timeout_minutes(self) -> float | None:
        """Ray's `idle_timeout_minutes`, if the file sets it."""
        return self.raw.get("idle_timeout_minutes")


def read_yaml_mapping(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file. Raises SpecError for one that is missing, empty, binary, too large or no mapping."""
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise SpecError(str(path), f"larger than {MAX_FILE_BYTES} bytes; is this the right file?")
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise SpecError(str(path), "no such file") from None
    except UnicodeDecodeError:
        raise SpecError(str(path), "not a text file") from None
    except OSError as error:
        raise SpecError(str(path), f"can't be read: {error.strerror}") from None
    try:
        document = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{path}:{mark.line + 1}" if mark else str(path)
        raise SpecError(where, f"not valid YAML: {getattr(error, 'problem', None) or 'unreadable'}") from None
    except (ValueError, RecursionError):
        raise SpecError(str(path), "not valid YAML: a value can't be read") from None
    if document is None:
        raise SpecError(str(path), "the file is empty")
    if not isinstance(document, dict):
        raise SpecError(str(path), f"expected keys and values, found {type(document).__name__}")
    return document


def read_cluster_file(path: Path) -> ClusterFile:
    """The cluster config at `path`, checked against Ray's own schema. Raises SpecError."""
    raw = read_yaml_mapping(path)
    _check_against_rays_schema(path, raw)
    types = raw.get("available_node_types") or {}
    head_name = raw.get("head_node_type")
    if head_name not in types:
        raise SpecError(f"{path}: head_node_type", f"{head_name!r} isn't one of available_node_types")
    if len(types) < 2:
        raise SpecError(f"{path}: available_node_types", "no worker node type, so there is nothing to scale")
    total = raw.get("max_workers")
    nodes = {name: _node_type(path, name, section or {}, total) for name, section in types.items()}
    workers = tuple(node for name, node in nodes.items() if name != head_name)
    if total is None:
        total = sum(worker.max_workers for worker in workers)
    if not any(worker.max_workers for worker in workers) or total == 0:
        raise SpecError(f"{path}: max_workers", "0 for all worker node types, so there is nothing to scale")
    if (least := sum(worker.min_workers for worker in workers)) > total:
        raise SpecError(f"{path}: max_workers", f"{total} is below the sum of all min_workers, {least}")
    try:
        launch = LaunchModel(**raw["provider"].get("launch", {}))
        shape = ClusterShape(head=nodes[head_name], workers=workers, max_workers=total, launch=launch)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise SpecError(f"{path}: provider.launch.{key}", first["msg"]) from None
    except TypeError:
        raise SpecError(f"{path}: provider.launch", "expected keys and values") from None
    return ClusterFile(path, raw, shape)


def _check_against_rays_schema(path: Path, raw: dict[str, Any]) -> None:
    if "target_utilization_fraction" in raw:
        raise SpecError(
            f"{path}: target_utilization_fraction",
            "Ray's schema rejects this key",
            "sweep it with --target-utilization-fraction and --autoscaler v1 instead",
        )
    try:
        jsonschema.validate(raw, rayapi.cluster_config_schema())
    except jsonschema.ValidationError as error:
        key = ".".join(str(part) for part in error.absolute_path) or "top level"
        raise SpecError(f"{path}: {key}", error.message[:200]) from None


def _node_type(path: Path, name: str, section: dict[str, Any], total: int | None) -> NodeType:
    resources, labels = section.get("resources") or {}, section.get("labels") or {}
    instance_type = str((section.get("node_config") or {}).get("InstanceType", ""))
    try:
        return NodeType(
            name=name,
            arch=infer_arch(name=name, instance_type=instance_type, labels=labels, resources=resources),
            instance_type=instance_type,
            resources=resources,
            labels=labels,
            min_workers=section.get("min_workers", 0),
            max_workers=section.get("max_workers", total or 0),
        )
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in ("available_node_types", name, *first["loc"]))
        raise SpecError(f"{path}: {key}", first["msg"].removeprefix("Value error, ")) from None
