"""The labels by which all that belongs to a home's clusters is found again, and nothing else."""

from pathlib import Path
from typing import Any

PREFIX = "dev.orchestrate"
HOME = f"{PREFIX}.home"
CLUSTER = f"{PREFIX}.cluster"
NODE = f"{PREFIX}.node"
NODE_TYPE = f"{PREFIX}.node-type"


def cluster_labels(home: Path, cluster_id: str) -> dict[str, str]:
    """What all containers and networks of a cluster carry."""
    return {HOME: str(home.resolve()), CLUSTER: cluster_id}


def label_filter(home: Path, cluster_id: str | None = None) -> dict[str, Any]:
    """The engine's filter for what belongs to a home, or to one cluster of it."""
    labels = [f"{HOME}={home.resolve()}"]
    return {"label": [*labels, f"{CLUSTER}={cluster_id}"] if cluster_id is not None else labels}
