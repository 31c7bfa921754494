"""Find and remove what killed runs left of local clusters: processes, and folders for Ray's temporary files."""

import contextlib
import shutil
from pathlib import Path

import psutil

from orchestrator.backends.base import Orphan
from orchestrator.backends.live.cluster_dir import ClusterFiles
from orchestrator.backends.live.ownership import Owner, is_cluster_id, is_own_folder
from orchestrator.backends.local.cluster import scratch_folder
from orchestrator.backends.local.processes import MARKER, end_marked, find_marked


def find_orphans(home: Path) -> list[Orphan]:
    """Return the processes and temporary folders of the home's clusters, also of clusters that are in use."""
    clusters = home / "clusters"
    known = {path.parent.name for path in clusters.glob("*/owner.json")}
    found = []
    for cluster_id in sorted(filter(is_cluster_id, known | _of_processes(home))):
        pids = tuple(str(process.pid) for process in find_marked(home, cluster_id))
        scratch = _scratch(home, cluster_id)
        folders = (str(scratch),) if is_own_folder(scratch) else ()
        if pids or folders:
            found.append(Orphan(cluster_id, {"process": pids, "folder": folders}))
    return found


def remove_orphan(home: Path, cluster_id: str) -> None:
    """End the processes of a cluster and remove its temporary folder."""
    end_marked(home, cluster_id)
    if is_own_folder(scratch := _scratch(home, cluster_id)):
        shutil.rmtree(scratch, ignore_errors=True)


def _scratch(home: Path, cluster_id: str) -> Path:
    """Return the temporary folder of a cluster, which may be under an earlier TMPDIR."""
    folder = scratch_folder(cluster_id)
    owner = Owner.read(ClusterFiles(home / "clusters" / cluster_id).owner)
    return Path(owner.scratch) if owner is not None and Path(owner.scratch).name == folder.name else folder


def _of_processes(home: Path) -> set[str]:
    found = set()
    for process in find_marked(home):
        # not logged: processes end while they are listed, and many aren't readable.
        with contextlib.suppress(psutil.Error, OSError):
            found.add(process.environ().get(MARKER, ""))
    return found
