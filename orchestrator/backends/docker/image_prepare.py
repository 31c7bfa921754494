"""Prepare an image, as root while it is built, so that nodes start fast and as any user.

It runs on the image's Python alone, without this package and without Ray.
"""

import compileall
import contextlib
import stat
import sys
import sysconfig
from collections.abc import Iterable
from pathlib import Path


def compile_packages(folders: Iterable[str]) -> None:
    """Write the bytecode of all modules that have none yet: without it a node's start takes twice as long.

    A few files are broken on purpose, as those of test suites: they are skipped.
    """
    for folder in folders:
        compileall.compile_dir(folder, quiet=2, workers=0)


def let_anybody_read(folder: Path) -> None:
    """Open a folder and its parents for reading: containers run as the user who starts them, not as the image's.

    Only closed files are changed, since a file whose mode changes is in the image twice.
    """
    let_anybody_pass(folder)
    for path in (folder, *folder.rglob("*")):
        mode = path.lstat().st_mode
        if stat.S_ISDIR(mode):
            _add_mode(path, stat.S_IROTH | stat.S_IXOTH)
        elif stat.S_ISREG(mode):
            _add_mode(path, stat.S_IROTH | (stat.S_IXOTH if mode & stat.S_IXUSR else 0))


def let_anybody_pass(path: Path) -> None:
    """Open the parents of a path: the official image has its Python and its working directory in a closed home."""
    for parent in path.parents:
        _add_mode(parent, stat.S_IXOTH)


def _add_mode(path: Path, wanted: int) -> None:
    mode = path.stat().st_mode
    if mode & wanted != wanted:
        # not logged: what the engine mounts can't be changed, and this runs in an image without a log.
        with contextlib.suppress(OSError):
            path.chmod(stat.S_IMODE(mode) | wanted)


if __name__ == "__main__":
    libraries = {sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    compile_packages(sorted(libraries))
    for library in sorted(libraries):
        let_anybody_read(Path(library))
    for folder in (Path(sys.executable), Path(sys.executable).resolve(), Path.cwd() / "any"):
        let_anybody_pass(folder)
