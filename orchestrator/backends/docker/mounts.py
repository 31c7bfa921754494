"""Mounts of a node's container. It can write the files of the head's outbox, and only read all others."""

from pathlib import Path

from docker.types import Mount

from orchestrator.backends.docker.image import PACKAGE_FOLDER, RayImage
from orchestrator.backends.live.cluster_dir import ClusterFiles

SHARED = "/orchestrate"
TOKEN = "/run/orchestrate/ray_token"
OPTIONS = "/run/orchestrate/node.json"
_PACKAGE = Path(__file__).parents[2]


def node_mounts(image: RayImage, token: Path, options: Path) -> list[Mount]:
    """Return the mounts of every node: the home's token, its own options, and the package if its image lacks it."""
    mounts = {TOKEN: token.resolve(), OPTIONS: options}
    if not image.has_package:
        mounts[f"{PACKAGE_FOLDER}/{_PACKAGE.name}"] = _PACKAGE
    return [_mount(inside, source, read_only=True) for inside, source in mounts.items()]


def head_mounts(files: ClusterFiles) -> list[Mount]:
    """Return the mounts by which head and orchestrator exchange messages.

    The outbox is mounted file by file, since jobs of the head could leave links and pipes in a folder. The inbox is
    mounted as a folder, since a mounted file doesn't change when it is replaced.
    """
    outbox = (files.requests, files.settings, files.monitor_log)
    for path in outbox:
        path.touch(mode=0o600)
    return [
        _mount(in_head(files, files.inbox), files.inbox, read_only=True),
        *(_mount(in_head(files, path), path, read_only=False) for path in outbox),
    ]


def in_head(files: ClusterFiles, path: Path) -> str:
    """Return the head's path for a path of its cluster's folder."""
    return f"{SHARED}/{path.relative_to(files.root)}"


def _mount(inside: str, source: Path, *, read_only: bool) -> Mount:
    return Mount(inside, str(source), type="bind", read_only=read_only)
