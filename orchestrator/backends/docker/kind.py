"""The `docker` backend as the registry knows it."""

from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.assets import bundled
from orchestrator.backends.base import STRESS_JOB_RUNS, Backend, BackendKind, BackendRequest, Orphan
from orchestrator.model.fault import ALL_FAULTS

if TYPE_CHECKING:
    from orchestrator.inputs.cluster_config import ClusterFile
    from orchestrator.readiness import Question


def _create(request: BackendRequest) -> Backend:
    from orchestrator.backends.docker.backend import DockerBackend, prepare

    return DockerBackend(request, prepare(request))


def _check(cluster: "ClusterFile") -> None:
    from orchestrator.backends.docker.node_config import container_configs, dashboard_port

    container_configs(cluster)
    dashboard_port(cluster)


def _orphans(home: Path) -> Iterable[Orphan]:
    from orchestrator.backends.docker.cleanup import find_all_orphans

    return find_all_orphans(home)


def _remove(home: Path, cluster_id: str) -> None:
    from orchestrator.backends.docker.cleanup import remove_orphan

    remove_orphan(home, cluster_id)


def _questions(home: Path) -> "Iterable[Question]":
    from orchestrator.backends.docker.questions import docker_questions

    return docker_questions()


DOCKER = BackendKind(
    name="docker",
    starts="containers on this machine",
    default_cluster=partial(bundled, "cluster/docker.yaml"),
    create=_create,
    runs=STRESS_JOB_RUNS,
    faults=ALL_FAULTS,
    runs_here=True,
    takes_image=True,
    nodes_are="containers",
    check=_check,
    orphans=_orphans,
    remove=_remove,
    questions=_questions,
)
