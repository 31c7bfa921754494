"""Which process did something, and whether it still runs: marks of processes, and locks that a crash releases.

Neither depends on the wall clock or on the name of the host: a clock can step, and a container's name changes with each
start. A mark holds the boot of the machine and the process's start in ticks since then. A lock is held as long as its
process lives, and other containers and, where the file system can do it, other machines see it too.
"""

import fcntl
import logging
import os
import platform
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any, Self

import psutil

_log = logging.getLogger(__name__)

# `is_held` takes a lock for an instant.
_ATTEMPTS = 20
_PAUSE_S = 0.02


@dataclass(frozen=True)
class ProcessMark:
    """A process: its pid, and what tells it apart from a later process with this pid.

    `started` is in UNIX seconds, which move with the clock; it counts only where `boot` and `ticks` are unknown, as in
    records of earlier versions.
    """

    pid: int
    started: float
    boot: str = ""
    ticks: int = 0
    host: str = ""

    @classmethod
    def this_process(cls) -> Self:
        """Return the mark of the calling process."""
        process = psutil.Process()
        return cls(process.pid, process.create_time(), boot_id(), _ticks(process.pid), platform.node())

    @classmethod
    def read(cls, record: Any) -> Self | None:
        """Return the mark in a record of any version; None if it is none."""
        try:
            return cls(
                int(record["pid"]),
                float(record["started"]),
                str(record.get("boot", "")),
                int(record.get("ticks", 0)),
                str(record.get("host", "")),
            )
        except (KeyError, TypeError, ValueError, OverflowError, AttributeError):
            # not logged: None is the answer.
            return None

    def as_record(self) -> dict[str, Any]:
        """Return the mark as `read` takes it."""
        return asdict(self)

    @property
    def of_this_boot(self) -> bool | None:
        """True if the process was started since this machine's last boot; None if that can't be known."""
        if self.boot and boot_id():
            return self.boot == boot_id()
        return True if self.host in ("", platform.node()) else None

    @property
    def alive(self) -> bool:
        """True if exactly this process runs on this machine, as far as this PID namespace shows."""
        if not self.of_this_boot:
            return False
        try:
            process = psutil.Process(self.pid)
            if process.status() == psutil.STATUS_ZOMBIE:
                return False
            if self.ticks and (ticks := _ticks(self.pid)):
                return ticks == self.ticks
            return bool(abs(process.create_time() - self.started) < 1)
        except (psutil.NoSuchProcess, ValueError, OverflowError):
            # not logged: it is the answer.
            return False
        except psutil.AccessDenied:
            # not logged: a process that may not be looked at runs.
            return True


def still_runs(record: Mapping[str, Any], lock: Path) -> bool | None:
    """Return true if the process of a record runs, which holds `lock` meanwhile; None if this machine can't know.

    Without a lock file, as for records of earlier versions, a process of another machine can't be looked for.
    """
    if (held := is_held(lock)) is not None:
        return held
    mark = ProcessMark.read(record)
    if mark is None:
        return False
    if not mark.of_this_boot and mark.host not in ("", platform.node()):
        return None
    return mark.alive


class Lock:
    """A lock on a file, from `take` until `release` or the end of the process, however it ends."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    @classmethod
    def take(cls, path: Path) -> Self | None:
        """Take the lock, and make its file if needed; None if another process has it. Raises OSError."""
        # Descriptors of Python aren't inherited: no child keeps the lock after this process.
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            for attempt in range(_ATTEMPTS):
                if attempt:
                    time.sleep(_PAUSE_S)
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    return cls(descriptor)
                except BlockingIOError:
                    # not logged: another process has it, or looks at it for an instant.
                    continue
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)
        return None

    def release(self) -> None:
        """Release the lock; safe to call twice."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def is_held(path: Path) -> bool | None:
    """Return true if a process holds the lock; None if there is no such file, or no way to know."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        # not logged: None is the answer.
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        # not logged: it is the answer.
        return True
    except OSError:
        _log.debug("%s can't be locked", path, exc_info=True)
        return None
    finally:
        os.close(descriptor)
    return False


@cache
def boot_id() -> str:
    """Return the id of this machine's boot, which containers on it share; empty where the system has none."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        # not logged: macOS has no such file.
        return ""


def _ticks(pid: int) -> int:
    """Return the start of a process in clock ticks since boot, which no step of the clock moves; 0 if unknown."""
    try:
        # The name in parentheses may hold anything, blanks and parentheses too.
        return int(Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()[19])
    except (OSError, ValueError, IndexError):
        # not logged: macOS has no such file, and a process may end meanwhile.
        return 0
