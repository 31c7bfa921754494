"""SQLite files by their path: any character may be in it, and the file system may be read-only."""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

_SPECIAL = frozenset("?#%")


def sqlite_url(path: Path) -> str:
    """Return the SQLAlchemy URL of a database. Only a path that a URL would misread is written as a URI."""
    if _SPECIAL.isdisjoint(str(path)):
        return f"sqlite:///{path}"
    # SQLAlchemy decodes it once, and SQLite once more.
    return f"sqlite:///{path.absolute().as_uri().replace('%', '%25')}?uri=true"


def is_read_only(path: Path) -> bool:
    """Return true if a database exists and can't be written, alone or for its folder, which holds its journal."""
    return path.is_file() and not (os.access(path, os.W_OK) and os.access(path.parent, os.W_OK))


@contextlib.contextmanager
def read_only_uri(path: Path) -> Iterator[str]:
    """Give the URI of a database that can't be written, for as long as it is read.

    SQLite reads a database with an unfinished write-ahead log only where it can write: that one is copied.
    """
    log = path.with_name(f"{path.name}-wal")
    if not log.is_file() or log.stat().st_size == 0:
        yield f"{path.absolute().as_uri()}?immutable=1"
        return
    with tempfile.TemporaryDirectory(prefix="orchestrate-ledger-") as folder:
        copy = Path(folder) / path.name
        shutil.copyfile(path, copy)
        shutil.copyfile(log, copy.with_name(log.name))
        yield copy.as_uri()
