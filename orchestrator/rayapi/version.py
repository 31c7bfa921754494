"""Version and cluster-config schema of the installed Ray, read without importing Ray."""

import json
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, cast

from orchestrator.errors import MissingPrerequisite

OLDEST, NEWEST = (2, 50), (2, 60)


def ray_version() -> str:
    """Return the installed Ray's version. Raises MissingPrerequisite if Ray isn't installed."""
    try:
        return version("ray")
    except PackageNotFoundError:
        raise MissingPrerequisite("Ray isn't installed", "pip install 'ray[default]'") from None


def require_supported_ray() -> None:
    """Raise MissingPrerequisite unless the installed Ray is one whose private names `rayapi` knows."""
    installed = ray_version()
    numbers = tuple(int(part) for part in installed.split(".")[:2] if part.isdigit())
    if not OLDEST <= numbers <= NEWEST:
        first, last = (".".join(map(str, each)) for each in (OLDEST, NEWEST))
        raise MissingPrerequisite(
            f"orchestrate uses parts of Ray that change from version to version: it knows Ray {first} to {last},"
            f" not {installed}",
            f"pip install 'ray[default]=={last}.0'",
        )


def cluster_config_schema() -> dict[str, Any]:
    """Return Ray's own JSON schema of a cluster config. Raises MissingPrerequisite if Ray isn't installed."""
    spec = find_spec("ray")
    if spec is None or spec.origin is None:
        raise MissingPrerequisite("Ray isn't installed", "pip install 'ray[default]'")
    text = (Path(spec.origin).parent / "autoscaler" / "ray-schema.json").read_text()
    return cast(dict[str, Any], json.loads(text))
