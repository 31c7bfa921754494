"""Find and remove containers and networks that carry the labels of a home's clusters."""

import contextlib
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import docker
from docker.errors import APIError, NotFound

from orchestrator.backends.base import Orphan
from orchestrator.backends.docker import labels
from orchestrator.backends.docker.daemon import connect
from orchestrator.docker_errors import explain

_log = logging.getLogger(__name__)

# A container whose removal is under way holds its network, on a busy engine for some seconds.
REMOVAL_S = 30.0
_AGAIN_S = 0.5


def find_all_orphans(home: Path) -> list[Orphan]:
    """Connect to the daemon and return what `find_orphans` finds. Raises MissingPrerequisite."""
    with contextlib.closing(connect()) as client:
        return find_orphans(client, home)


def remove_orphan(home: Path, cluster_id: str) -> None:
    """Connect to the daemon and remove a cluster, see `remove_all`."""
    with contextlib.closing(connect()) as client:
        remove_all(client, home, cluster_id)


def find_orphans(client: docker.DockerClient, home: Path) -> list[Orphan]:
    """Return the containers and networks of the home's clusters, also of those in use. Raises MissingPrerequisite."""
    containers: dict[str, list[str]] = {}
    networks: dict[str, list[str]] = {}
    in_use: dict[str, bool] = {}
    marked = labels.label_filter(home)
    with explain("looking for containers of this home"):
        for container in client.containers.list(all=True, filters=marked, ignore_removed=True):
            cluster_id = container.labels.get(labels.CLUSTER, "")
            containers.setdefault(cluster_id, []).append(str(container.name))
            if (owner := labels.owner_of(container.labels)) is not None:
                in_use.setdefault(cluster_id, owner.alive)
        for network in client.networks.list(filters=marked):
            networks.setdefault(network.attrs["Labels"].get(labels.CLUSTER, ""), []).append(str(network.name))
    return [
        Orphan(
            cluster_id,
            {"container": tuple(containers.get(cluster_id, ())), "network": tuple(networks.get(cluster_id, ()))},
            in_use.get(cluster_id),
        )
        for cluster_id in dict.fromkeys((*containers, *networks))
    ]


def remove_all(
    client: docker.DockerClient,
    home: Path,
    cluster_id: str,
    *,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Remove containers and networks of a cluster and return when all are gone; safe to call twice.

    A removal that the engine refuses is tried again for REMOVAL_S seconds. Raises ClusterFailed if it still refuses,
    and MissingPrerequisite without an engine.
    """
    marked = labels.label_filter(home, cluster_id)
    deadline = clock() + REMOVAL_S
    with explain("removing the cluster's containers"):
        while (refusal := _refusal(client, marked)) is not None:
            if clock() >= deadline:
                raise refusal
            sleep(_AGAIN_S)


def _refusal(client: docker.DockerClient, marked: dict[str, Any]) -> APIError | None:
    """Try to remove each part; return the first refusal of the engine, if any."""
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
