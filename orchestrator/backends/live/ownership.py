"""Owners of clusters, which are orchestrator processes, and the token of a home's clusters."""

import json
import logging
import os
import re
import secrets
import shutil
import stat
import tempfile
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

import psutil

from orchestrator.errors import InputError
from orchestrator.liveness import ProcessMark, is_held
from orchestrator.logs import hide, suppressed
from orchestrator.private_files import check_private_folder, read_private

_log = logging.getLogger(__name__)

TOKEN_NAME = "ray_token"
OWNER_NAME = "owner.json"
"""The file in a cluster's folder that proves whose it is."""
LOCK_NAME = "lock"
"""The file in a cluster's folder that its orchestrator keeps locked."""
UNFINISHED = re.compile(r"\.([0-9A-Za-z][\w-]{0,63})\.([0-9]{1,9})", re.ASCII)
_SHORTEST_TOKEN = 32
_LONGEST = 100_000


@dataclass(frozen=True)
class Owner:
    """The orchestrator process that owns a cluster; `boot` and `ticks` are those of its mark, see `liveness`."""

    pid: int
    started: float
    cluster_id: str
    gcs_address: str = ""
    dashboard: str = ""
    scratch: str = ""
    backend: str = "local"
    boot: str = ""
    ticks: int = 0

    @classmethod
    def this_process(
        cls, cluster_id: str, gcs_address: str, dashboard: str, scratch: str = "", backend: str = "local"
    ) -> "Owner":
        """Return the calling process as owner."""
        mark = ProcessMark.this_process()
        return cls(mark.pid, mark.started, cluster_id, gcs_address, dashboard, scratch, backend, mark.boot, mark.ticks)

    @classmethod
    def read(cls, path: Path) -> "Owner | None":
        """Return the owner that a file names; None if the file is missing or damaged."""
        try:
            with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK), "rb") as file:
                return cls.parse(file.read(_LONGEST))
        except OSError:
            _log.debug("no owner in %s", path, exc_info=True)
            return None

    @classmethod
    def parse(cls, text: str | bytes) -> "Owner | None":
        """Return the owner in the text of `as_json`, which may be of a newer version; None for any other text."""
        try:
            found = json.loads(text)
            values = {each.name: found[each.name] for each in fields(cls) if each.name in found}
            owner = cls(**values)
            texts = (owner.cluster_id, owner.gcs_address, owner.dashboard, owner.scratch, owner.backend, owner.boot)
            if not is_cluster_id(owner.cluster_id) or not all(isinstance(each, str) for each in texts):
                return None
            return replace(owner, pid=int(owner.pid), started=float(owner.started), ticks=int(owner.ticks))
        except (ValueError, TypeError, OverflowError, RecursionError):
            _log.debug("no owner: %.200r", text)
            return None

    def as_json(self) -> str:
        """Return all fields as a JSON object."""
        return json.dumps(asdict(self))

    @property
    def alive(self) -> bool:
        """Return true if exactly this process still runs on this machine."""
        return ProcessMark(self.pid, self.started, self.boot, self.ticks).alive

    def owns(self, folder: Path) -> bool:
        """Return true if the owner's process runs and holds the lock of the cluster's folder."""
        held = is_held(folder / LOCK_NAME)
        return self.alive if held is None else held


def is_cluster_id(text: object) -> bool:
    """Return true for a name that can't lead out of a folder. Ids become paths, and anybody can write a marker."""
    return isinstance(text, str) and re.fullmatch(r"[0-9A-Za-z][\w-]{0,63}", text, re.ASCII) is not None


def is_own_folder(folder: Path) -> bool:
    """Return true for a folder of this user that is no symbolic link."""
    try:
        status = folder.lstat()
    except OSError:
        # not logged: another command may have removed it.
        return False
    return stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid()


def remove_cluster_folder(folder: Path) -> None:
    """Remove a cluster's folder. Its owner goes last, so that a crash leaves nothing without proof; never raises."""
    with suppressed(_log, f"removing {folder}", OSError):
        for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
            if entry.is_dir(follow_symlinks=False):
                shutil.rmtree(entry.path, ignore_errors=True)
            elif entry.name not in (OWNER_NAME, LOCK_NAME):
                os.unlink(entry.path)
        rest = folder.with_name(unfinished_name(folder.name))
        folder.rename(rest)
        shutil.rmtree(rest, ignore_errors=True)


def unfinished_name(cluster_id: str) -> str:
    """Return the name of a cluster's folder while this process makes or removes it, with no more than its owner in it.

    See `is_unfinished`.
    """
    return f".{cluster_id}.{os.getpid()}"


def is_unfinished(folder: Path) -> bool:
    """Return true for a folder named by `unfinished_name` whose process has ended, and that holds nothing else."""
    made = UNFINISHED.fullmatch(folder.name)
    if made is None or not is_own_folder(folder) or psutil.pid_exists(int(made[2])):
        return False
    try:
        return {entry.name for entry in os.scandir(folder)} <= {OWNER_NAME, LOCK_NAME}
    except OSError:
        # not logged: another `clean` was first.
        return False


def process_alive(pid: int, started: float) -> bool:
    """Return true if the process with this pid and start time (UNIX seconds) runs; a later one doesn't count."""
    return ProcessMark(pid, started).alive


def running_owners(home: Path) -> list[Owner]:
    """Return the owners of the clusters of `home` that run now."""
    found = ((path.parent, Owner.read(path)) for path in sorted((home / "clusters").glob("*/owner.json")))
    return [owner for folder, owner in found if owner is not None and owner.owns(folder)]


def ensure_token(home: Path) -> Path:
    """Return the file with the token of this home's clusters. It is made at first use, for this user only.

    Raises InputError if another user could know it.
    """
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    check_private_folder(home, "the home")
    path = home / TOKEN_NAME
    if not os.path.lexists(path):
        descriptor, partial = tempfile.mkstemp(dir=home, prefix=".ray_token")  # mkstemp lets nobody else read it
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_hex(32))
        with suppressed(_log, "making the token", FileExistsError):  # another command was first: its token counts
            os.link(partial, path)
        os.unlink(partial)
    token = read_private(path, "the token").strip()
    if len(token) < _SHORTEST_TOKEN:
        raise InputError(
            f"the token {path} is too short to protect anything", f"remove it while nothing runs: rm {path}"
        )
    hide(token)
    return path
