"""What killed runs left of live clusters: processes and containers without an orchestrator, folders without either."""

import contextlib
import logging
import os
import shutil
import time
from collections.abc import Sized
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from orchestrator.backends.live.cluster_dir import ClusterFiles
from orchestrator.backends.live.ownership import Owner
from orchestrator.backends.local.cluster import scratch_folder
from orchestrator.backends.local.processes import MARKER, end_marked, find_marked
from orchestrator.errors import MissingPrerequisite

if TYPE_CHECKING:
    from orchestrator.backends.docker.cleanup import Remains

_log = logging.getLogger(__name__)

_YOUNG_S = 60.0


@dataclass(frozen=True)
class Leftover:
    """One cluster that nobody owns any more: its live processes, its containers and networks, and its folders."""

    cluster_id: str
    pids: list[int] = field(default_factory=list)
    folders: list[str] = field(default_factory=list)
    containers: list[str] = field(default_factory=list)
    networks: list[str] = field(default_factory=list)

    def describe(self) -> str:
        """`2 processes, 1 folder`, without what there is none of."""
        counted: dict[str, Sized] = {
            "process": self.pids,
            "container": self.containers,
            "network": self.networks,
            "folder": self.folders,
        }
        return ", ".join(f"{len(found)} {_plural(name, len(found))}" for name, found in counted.items() if found)


@dataclass(frozen=True)
class Leftovers:
    """All of a home; `hidden` is why the containers of some killed run can't be looked for."""

    clusters: list[Leftover]
    hidden: MissingPrerequisite | None = None


def find_leftovers(home: Path, *, force: bool = False) -> Leftovers:
    """The clusters of `home` whose orchestrator is gone; with `force` also those whose orchestrator still runs."""
    recorded = {folder.name: Owner.read(ClusterFiles(folder).owner) for folder in _folders(home / "clusters")}
    remains, hidden = _in_the_engine(home, recorded)
    for cluster_id in {*_of_processes(home), *remains}:
        # Read again: a cluster that began after the folders were listed has its owner by now.
        owner = Owner.read(ClusterFiles(home / "clusters" / cluster_id).owner)
        recorded.setdefault(cluster_id, owner or (remains[cluster_id].owner if cluster_id in remains else None))
    clusters = []
    for cluster_id, owner in sorted(recorded.items()):
        if not cluster_id or (owner is not None and owner.alive and not force):
            continue
        if hidden is not None and owner is not None and owner.backend == "docker":
            continue  # its folder is what tells of its containers
        scratch = scratch_folder(cluster_id)
        if owner is not None and Path(owner.scratch).name == scratch.name:
            scratch = Path(owner.scratch)  # as it was called under the TMPDIR of that time
        folders = [str(folder) for folder in (home / "clusters" / cluster_id, scratch) if folder.is_dir()]
        pids = [process.pid for process in find_marked(home, cluster_id)]
        left = remains.get(cluster_id)
        containers, networks = (left.containers, left.networks) if left is not None else ([], [])
        if owner is None and not (pids or containers or networks) and all(_is_young(folder) for folder in folders):
            continue  # a cluster that is just being made
        clusters.append(Leftover(cluster_id, pids, folders, containers, networks))
    return Leftovers(clusters, hidden)


def _of_processes(home: Path) -> set[str]:
    found = set()
    for process in find_marked(home):
        # not logged: processes of the whole machine end, and many aren't ours to read.
        with contextlib.suppress(psutil.Error, OSError):
            found.add(process.environ().get(MARKER, ""))
    return found


def _in_the_engine(
    home: Path, recorded: dict[str, Owner | None]
) -> "tuple[dict[str, Remains], MissingPrerequisite | None]":
    """What there is by cluster. Most machines have no engine: that is said only where it is missed."""
    from orchestrator.backends.docker.cleanup import find_remains
    from orchestrator.backends.docker.daemon import connect

    try:
        with contextlib.closing(connect()) as client:
            return find_remains(client, home), None
    except MissingPrerequisite as error:
        _log.info("containers can't be looked for", exc_info=True)
        missed = any(owner is not None and owner.backend == "docker" and not owner.alive for owner in recorded.values())
        return {}, error if missed else None


def remove(home: Path, leftover: Leftover) -> None:
    """End the leftover's processes, remove its containers and folders. Raises MissingPrerequisite."""
    end_marked(home, leftover.cluster_id)
    if leftover.containers or leftover.networks:
        from orchestrator.backends.docker.cleanup import remove_all
        from orchestrator.backends.docker.daemon import connect

        with contextlib.closing(connect()) as client:
            remove_all(client, home, leftover.cluster_id)
    for folder in leftover.folders:
        shutil.rmtree(folder, ignore_errors=True)


def _plural(name: str, count: int) -> str:
    return name if count == 1 else name + ("es" if name.endswith("s") else "s")


def _is_young(folder: str) -> bool:
    return time.time() - os.stat(folder).st_mtime < _YOUNG_S


def _folders(parent: Path) -> list[Path]:
    if not parent.is_dir():
        return []
    return [Path(entry.path) for entry in os.scandir(parent) if entry.is_dir()]
