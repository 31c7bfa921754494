"""What carries the labels of a home's clusters in the engine: found, and removed."""

from dataclasses import dataclass
from pathlib import Path

import docker
from docker.errors import APIError, NotFound

from orchestrator.backends.docker import labels
from orchestrator.backends.docker.engine import explain


@dataclass(frozen=True)
class Remains:
    """Names of the containers and networks of one cluster."""

    containers: list[str]
    networks: list[str]


def find_remains(client: docker.DockerClient, home: Path) -> dict[str, Remains]:
    """What is there of each cluster of `home`, by its id. Raises MissingPrerequisite."""
    found: dict[str, Remains] = {}
    marked = labels.label_filter(home)
    with explain("looking for containers of this home"):
        for container in client.containers.list(all=True, filters=marked, ignore_removed=True):
            cluster_id = container.labels.get(labels.CLUSTER, "")
            found.setdefault(cluster_id, Remains([], [])).containers.append(str(container.name))
        for network in client.networks.list(filters=marked):
            cluster_id = network.attrs["Labels"].get(labels.CLUSTER, "")
            found.setdefault(cluster_id, Remains([], [])).networks.append(str(network.name))
    return found


def remove_all(client: docker.DockerClient, home: Path, cluster_id: str) -> None:
    """Remove containers and networks of a cluster; safe to call twice. Raises MissingPrerequisite."""
    marked = labels.label_filter(home, cluster_id)
    with explain("removing the cluster's containers"):
        for container in client.containers.list(all=True, filters=marked, ignore_removed=True):
            try:
                container.remove(force=True, v=True)
            except APIError as error:
                if error.status_code not in (404, 409):  # gone, or its removal is under way
                    raise
        for network in client.networks.list(filters=marked):
            try:
                network.remove()
            except NotFound:
                continue
