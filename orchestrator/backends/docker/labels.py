"""The labels by which all that belongs to a home's clusters is found again, and nothing else."""

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
    """What all containers and networks of a cluster carry."""
    return {HOME: str(home.resolve()), CLUSTER: cluster_id}


def lone_labels(home: Path) -> dict[str, str]:
    """What a container of no cluster carries: an id of its own and, since no folder tells, whose it is."""
    cluster_id = secrets.token_hex(4)
    owner = Owner.this_process(cluster_id, "", "", backend="docker")
    return {**cluster_labels(home, cluster_id), OWNER: owner.as_json()}


def owner_of(labels: Mapping[str, str]) -> Owner | None:
    """Whose a container of no cluster is."""
    return Owner.parse(labels[OWNER]) if OWNER in labels else None


def label_filter(home: Path, cluster_id: str | None = None) -> dict[str, Any]:
    """The engine's filter for what belongs to a home, or to one cluster of it."""
    labels = [f"{HOME}={home.resolve()}"]
    return {"label": [*labels, f"{CLUSTER}={cluster_id}"] if cluster_id is not None else labels}
