"""What carries the labels of a home's clusters in the engine: found, and removed."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import docker
from docker.errors import APIError, NotFound

from orchestrator.backends.docker import labels
from orchestrator.backends.live.ownership import Owner
from orchestrator.docker_errors import explain

_log = logging.getLogger(__name__)

# A container whose removal is under way holds its network, on a busy engine for some seconds.
REMOVAL_S = 30.0
_AGAIN_S = 0.5


@dataclass
class Remains:
    """Names of the containers and networks of one cluster; `owner` is whose they are, where they say so themselves."""

    containers: list[str] = field(default_factory=list)
    networks: list[str] = field(default_factory=list)
    owner: Owner | None = None


def find_remains(client: docker.DockerClient, home: Path) -> dict[str, Remains]:
    """What is there of each cluster of `home`, by its id. Raises MissingPrerequisite."""
    found: dict[str, Remains] = {}
    marked = labels.label_filter(home)
    with explain("looking for containers of this home"):
        for container in client.containers.list(all=True, filters=marked, ignore_removed=True):
            remains = found.setdefault(container.labels.get(labels.CLUSTER, ""), Remains())
            remains.containers.append(str(container.name))
            remains.owner = remains.owner or labels.owner_of(container.labels)
        for network in client.networks.list(filters=marked):
            cluster_id = network.attrs["Labels"].get(labels.CLUSTER, "")
            found.setdefault(cluster_id, Remains()).networks.append(str(network.name))
    return found


def remove_all(
    client: docker.DockerClient,
    home: Path,
    cluster_id: str,
    *,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Remove containers and networks of a cluster; safe to call twice. Returns when none is there any more.

    What the engine refuses is asked for again for REMOVAL_S seconds. Raises ClusterFailed if it still does, and
    MissingPrerequisite without an engine.
    """
    marked = labels.label_filter(home, cluster_id)
    deadline = clock() + REMOVAL_S
    with explain("removing the cluster's containers"):
        while (refusal := _refusal(client, marked)) is not None:
            if clock() >= deadline:
                raise refusal
            sleep(_AGAIN_S)


def _refusal(client: docker.DockerClient, marked: dict[str, Any]) -> APIError | None:
    """Try to remove each; what the engine said first against it, if anything."""
    refusals = []
    for container in client.containers.list(all=True, filters=marked, ignore_removed=True):
        try:
            container.remove(force=True, v=True)
        except NotFound:
            # not logged: it is gone, as it should be.
            continue
        except APIError as error:  # its removal may be under way
            _log.debug("the engine refuses a removal", exc_info=True)
            refusals.append(error)
    for network in client.networks.list(filters=marked):
        try:
            network.remove()
        except NotFound:
            # not logged: it is gone, as it should be.
            continue
        except APIError as error:  # a container may still be on it
            _log.debug("the engine refuses a removal", exc_info=True)
            refusals.append(error)
    return refusals[0] if refusals else None
