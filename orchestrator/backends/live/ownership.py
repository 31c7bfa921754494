"""Owners of clusters, which are orchestrator processes, and the token of a home's clusters."""

import json
import logging
import os
import secrets
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from orchestrator.logs import hide, suppressed

_log = logging.getLogger(__name__)

TOKEN_NAME = "ray_token"


@dataclass(frozen=True)
class Owner:
    """The orchestrator process that owns a cluster. Its start time tells it apart from a later process with its pid."""

    pid: int
    started: float
    cluster_id: str
    gcs_address: str = ""
    dashboard: str = ""
    scratch: str = ""
    backend: str = "local"

    @classmethod
    def this_process(
        cls, cluster_id: str, gcs_address: str, dashboard: str, scratch: str = "", backend: str = "local"
    ) -> "Owner":
        """Return the calling process as owner."""
        started = psutil.Process().create_time()
        return cls(os.getpid(), started, cluster_id, gcs_address, dashboard, scratch, backend)

    @classmethod
    def read(cls, path: Path) -> "Owner | None":
        """Return the owner that a file names; None if the file is missing or damaged."""
        try:
            return cls.parse(path.read_text())
        except (OSError, ValueError):
            _log.debug("no owner in %s", path, exc_info=True)
            return None

    @classmethod
    def parse(cls, text: str) -> "Owner | None":
        """Return the owner in the text of `as_json`; None for any other text."""
        try:
            owner = cls(**json.loads(text))
            return cls(**{**asdict(owner), "pid": int(owner.pid), "started": float(owner.started)})
        except (ValueError, TypeError):
            _log.debug("no owner: %.200r", text)
            return None

    def as_json(self) -> str:
        """Return all fields as a JSON object."""
        return json.dumps(asdict(self))

    @property
    def alive(self) -> bool:
        """Return true if exactly this process still runs."""
        return process_alive(self.pid, self.started)


def process_alive(pid: int, started: float) -> bool:
    """Return true if the process with this pid and start time (UNIX seconds) runs; a later one doesn't count."""
    try:
        process = psutil.Process(pid)
        return process.status() != psutil.STATUS_ZOMBIE and abs(process.create_time() - started) < 1
    except (psutil.NoSuchProcess, ValueError):
        # not logged: it is the answer.
        return False


def running_owners(home: Path) -> list[Owner]:
    """Return the owners of the clusters of `home` that run now."""
    owners = (Owner.read(path) for path in sorted((home / "clusters").glob("*/owner.json")))
    return [owner for owner in owners if owner is not None and owner.alive]


def ensure_token(home: Path) -> Path:
    """Return the file with the token of this home's clusters. It is made at first use, for this user only."""
    home.mkdir(parents=True, exist_ok=True)
    path = home / TOKEN_NAME
    if not path.exists():
        descriptor, partial = tempfile.mkstemp(dir=home, prefix=".ray_token")  # mkstemp lets nobody else read it
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_hex(32))
        with suppressed(_log, "making the token", FileExistsError):  # another command was first: its token counts
            os.link(partial, path)
        os.unlink(partial)
    hide(path.read_text().strip())
    return path
