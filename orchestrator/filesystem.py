"""Atomic writes, and the meaning of a full disk."""

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path

from orchestrator.errors import MissingPrerequisite


def write_atomically(path: Path, text: str) -> None:
    """Replace a file so that a reader sees the old text or the new, never a part."""
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    partial.write_text(text)
    partial.replace(path)


def no_room(error: BaseException, folder: Path) -> MissingPrerequisite | None:
    """Return the error to raise if a write below `folder` failed because the disk is full, else None."""
    if not isinstance(error, OSError) or error.errno not in (errno.ENOSPC, errno.EDQUOT):
        return None
    return MissingPrerequisite(
        f"there is no room left to write {error.filename or folder}: {error.strerror}", "make room; df -h shows where"
    )


@contextlib.contextmanager
def needing_room(folder: Path) -> Iterator[None]:
    """Raise MissingPrerequisite if a write below `folder` in this context meets a full disk."""
    try:
        yield
    except OSError as error:
        if (missing := no_room(error, folder)) is None:
            raise
        raise missing from None


def is_file(path: str | Path) -> bool:
    """Return true if this is a file; false too for what no file can be called."""
    try:
        return Path(path).is_file()
    except (OSError, ValueError):  # too long a name, or a NUL in it
        # not logged: it is the answer.
        return False
