"""What killed runs left of local clusters: processes without their orchestrator, folders without processes."""

import contextlib
import os
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

from orchestrator.backends.files import ClusterFiles
from orchestrator.backends.local.cluster import scratch_folder
from orchestrator.backends.local.processes import MARKER, end_marked, find_marked
from orchestrator.backends.owners import Owner

_YOUNG_S = 60.0


@dataclass(frozen=True)
class Leftover:
    """One cluster that nobody owns any more: its live processes and its folders."""

    cluster_id: str
    pids: list[int]
    folders: list[str]


def find_leftovers(home: Path, *, force: bool = False) -> list[Leftover]:
    """The clusters of `home` whose orchestrator is gone; with `force` also those whose orchestrator still runs."""
    recorded = {folder.name: Owner.read(ClusterFiles(folder).owner) for folder in _folders(home / "clusters")}
    for process in find_marked(home):
        with contextlib.suppress(psutil.Error, OSError):
            cluster_id = process.environ().get(MARKER, "")
            # Read again: a cluster that began after the folders were listed has its owner by now.
            recorded.setdefault(cluster_id, Owner.read(ClusterFiles(home / "clusters" / cluster_id).owner))
    leftovers = []
    for cluster_id, owner in sorted(recorded.items()):
        if not cluster_id or (owner is not None and owner.alive and not force):
            continue
        scratch = scratch_folder(cluster_id)
        if owner is not None and Path(owner.scratch).name == scratch.name:
            scratch = Path(owner.scratch)  # as it was called under the TMPDIR of that time
        folders = [str(folder) for folder in (home / "clusters" / cluster_id, scratch) if folder.is_dir()]
        pids = [process.pid for process in find_marked(home, cluster_id)]
        if owner is None and not pids and all(_is_young(folder) for folder in folders):
            continue  # a cluster that is just being made
        leftovers.append(Leftover(cluster_id, pids, folders))
    return leftovers


def remove(home: Path, leftover: Leftover) -> None:
    """End the leftover's processes and remove its folders."""
    end_marked(home, leftover.cluster_id)
    for folder in leftover.folders:
        shutil.rmtree(folder, ignore_errors=True)


def _is_young(folder: str) -> bool:
    return time.time() - os.stat(folder).st_mtime < _YOUNG_S


def _folders(parent: Path) -> list[Path]:
    if not parent.is_dir():
        return []
    return [Path(entry.path) for entry in os.scandir(parent) if entry.is_dir()]
