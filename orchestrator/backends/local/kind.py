"""The `local` backend as the registry knows it."""

from collections.abc import Iterable
from functools import partial
from pathlib import Path

from orchestrator.assets import bundled
from orchestrator.backends.base import STRESS_JOB_RUNS, Backend, BackendKind, BackendRequest, Orphan


def _create(request: BackendRequest) -> Backend:
    from orchestrator.backends.local.backend import LocalBackend

    return LocalBackend(request)


def _orphans(home: Path) -> Iterable[Orphan]:
    from orchestrator.backends.local.cleanup import find_orphans

    return find_orphans(home)


def _remove(home: Path, cluster_id: str) -> None:
    from orchestrator.backends.local.cleanup import remove_orphan

    remove_orphan(home, cluster_id)


# Its nodes are processes on this machine: there is no network to cut and no machine to lose, so it can't cause faults.
LOCAL = BackendKind(
    name="local",
    starts="Ray processes on this machine",
    default_cluster=partial(bundled, "cluster/local.yaml"),
    create=_create,
    runs=STRESS_JOB_RUNS,
    runs_here=True,
    nodes_are="processes",
    orphans=_orphans,
    remove=_remove,
)
