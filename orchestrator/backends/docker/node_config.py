"""Containers of node types, as a cluster file describes them under `node_config`."""

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, ValidationError

from orchestrator.errors import SpecError
from orchestrator.inputs.cluster_config import ClusterFile
from orchestrator.inputs.problems import first_problem
from orchestrator.model.base import Finite, FrozenModel

_SIZE = re.compile(r"[1-9][0-9]*[kmg]")


def _size(text: object) -> str:
    if not isinstance(text, str) or not _SIZE.fullmatch(text):
        raise ValueError("expected a size such as 512m or 2g")
    return text


Size = Annotated[str, BeforeValidator(_size)]


class ContainerConfig(FrozenModel):
    """Image and limits of a node's container, in addition to its logical resources.

    `cpus` is its CPU limit in cores (the node type's `CPU` if absent, no limit for a head of none), `memory` and
    `shm_size` are as Docker writes them. `image` is for this node type alone. `environment` is added to Ray's.
    """

    InstanceType: str = ""
    image: str | None = None
    cpus: Annotated[Finite, Field(ge=0.01, le=10_000)] | None = None
    memory: Size = "2g"
    shm_size: Size = "256m"
    environment: dict[str, str] = Field(default_factory=dict)


def container_configs(cluster: ClusterFile) -> dict[str, ContainerConfig]:
    """Return the containers of a cluster file by node type. Raises SpecError.

    In the file of a cloud, `node_config` is that cloud's: keys that mean nothing for a container are skipped.
    """
    found = {}
    for name, section in cluster.raw["available_node_types"].items():
        node_config = section.get("node_config") or {}
        if cluster.foreign_provider is not None:
            node_config = {key: value for key, value in node_config.items() if key in ContainerConfig.model_fields}
        found[name] = _container_config(cluster.path, name, node_config)
    return found


def dashboard_port(cluster: ClusterFile) -> int | None:
    """Return the port of this machine for Ray's dashboard; None for any. Raises SpecError."""
    port = cluster.raw["provider"].get("dashboard_port")
    if port is None or (type(port) is int and 0 < port < 65536):
        return port
    raise SpecError(f"{cluster.path}: provider.dashboard_port", "expected a port, 1 to 65535")


def _container_config(path: Path, name: str, section: Mapping[str, Any]) -> ContainerConfig:
    try:
        return ContainerConfig.model_validate(section)
    except ValidationError as error:
        problem = first_problem(error)
        if "environment" in problem.path:
            problem = replace(problem, given="")  # it may be a secret
        raise problem.in_file(path, "available_node_types", name, "node_config") from None
