"""What a node's container sees of this machine's files, and which of them it can write: those of the head's outbox."""

from pathlib import Path

from docker.types import Mount

from orchestrator.backends.docker.image import PACKAGE_FOLDER, RayImage
from orchestrator.backends.live.cluster_dir import ClusterFiles

SHARED = "/orchestrate"
TOKEN = "/run/orchestrate/ray_token"
OPTIONS = "/run/orchestrate/node.json"
_PACKAGE = Path(__file__).parents[2]


def node_mounts(image: RayImage, token: Path, options: Path) -> list[Mount]:
    """What every node reads: the home's token, its own options, and the package where its image hasn't got it."""
    mounts = {TOKEN: token.resolve(), OPTIONS: options}
    if not image.has_package:
        mounts[f"{PACKAGE_FOLDER}/{_PACKAGE.name}"] = _PACKAGE
    return [_mount(inside, source, read_only=True) for inside, source in mounts.items()]


def head_mounts(files: ClusterFiles) -> list[Mount]:
    """By what the head and the orchestrator tell each other something.

    Of the outbox the files are mounted, since in a folder the jobs of the head could leave links and pipes. The inbox
    is a folder, since a mounted file stays what it was when it is replaced.
    """
    outbox = (files.requests, files.settings, files.monitor_log)
    for path in outbox:
        path.touch(mode=0o600)
    return [
        _mount(in_head(files, files.inbox), files.inbox, read_only=True),
        *(_mount(in_head(files, path), path, read_only=False) for path in outbox),
    ]


def in_head(files: ClusterFiles, path: Path) -> str:
    """Where the head sees a path of its cluster's folder."""
    return f"{SHARED}/{path.relative_to(files.root)}"


def _mount(inside: str, source: Path, *, read_only: bool) -> Mount:
    return Mount(inside, str(source), type="bind", read_only=read_only)
