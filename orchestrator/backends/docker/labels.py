"""The labels that identify the containers and networks of a home's clusters."""

import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from orchestrator.backends.live.ownership import Owner

PREFIX = "dev.orchestrate"
HOME = f"{PREFIX}.home"
CLUSTER = f"{PREFIX}.cluster"
OWNER = f"{PREFIX}.owner"
NODE = f"{PREFIX}.node"
NODE_TYPE = f"{PREFIX}.node-type"


def cluster_labels(home: Path, cluster_id: str) -> dict[str, str]:
    """Return the labels of all containers and networks of a cluster."""
    return {HOME: str(home.resolve()), CLUSTER: cluster_id}


def lone_labels(home: Path) -> dict[str, str]:
    """Return the labels of a container without a cluster: an id of its own, and its owner, which no folder records."""
    cluster_id = secrets.token_hex(4)
    owner = Owner.this_process(cluster_id, "", "", backend="docker")
    return {**cluster_labels(home, cluster_id), OWNER: owner.as_json()}


def owner_of(labels: Mapping[str, str]) -> Owner | None:
    """Return the owner of a container without a cluster."""
    return Owner.parse(labels[OWNER]) if OWNER in labels else None


def label_filter(home: Path, cluster_id: str | None = None) -> dict[str, Any]:
    """Return the engine's filter for everything of a home, or of one of its clusters."""
    labels = [f"{HOME}={home.resolve()}"]
    return {"label": [*labels, f"{CLUSTER}={cluster_id}"] if cluster_id is not None else labels}
