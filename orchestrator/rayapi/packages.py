"""The files of a working directory that Ray would upload with a job, by Ray's own rules, and a hash of them."""

import hashlib
import logging
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from orchestrator.rayapi.own_process import NoAnswer, ask, reply

_DEADLINE_S = 300.0


class NoPackage(Exception):
    """Ray couldn't upload this folder."""


def content_of(folder: Path, excludes: Sequence[str], environment: Mapping[str, str]) -> str:
    """Return a hash of the names and contents of all files that Ray would upload. Raises NoPackage with the reason.

    Ray leaves out what `.gitignore`, `.rayignore` and `excludes` match, and folders such as `.venv`. It is used in this
    process if it is loaded already, else in one of its own, as in `cluster_file.prepare`.
    """
    if "ray" in sys.modules:
        return _content_here(folder, excludes)
    try:
        found = ask(__name__, {"folder": folder, "excludes": list(excludes)}, environment, _DEADLINE_S)
    except NoAnswer as reason:
        raise NoPackage(str(reason)) from None
    if "reason" in found:
        raise NoPackage(found["reason"])
    return str(found["content"])


def _content_here(folder: Path, excludes: Sequence[str]) -> str:
    from ray._private import ray_constants
    from ray._private.runtime_env import packaging

    always: Sequence[str] = getattr(ray_constants, "get_runtime_env_default_excludes", list)()
    files: list[tuple[str, Path]] = []
    left = packaging.GCS_STORAGE_MAX_SIZE

    def add(path: Path) -> None:
        nonlocal left
        if path.is_file():
            left -= path.stat().st_size
            if left < 0:
                most = packaging.GCS_STORAGE_MAX_SIZE // 2**20
                raise NoPackage(f"it holds more than the {most} MiB that Ray uploads; exclude files with a .rayignore")
            files.append((path.relative_to(folder).as_posix(), path))

    quiet = logging.getLogger(f"{__name__}.ray")
    quiet.disabled = True
    try:
        matcher = packaging._get_excludes(folder, [*always, *excludes])
        packaging._dir_travel(folder, [matcher], add, include_gitignore=True, logger=quiet)
        digest = hashlib.sha256()
        for name, path in sorted(files):
            content = hashlib.sha256(path.read_bytes()).hexdigest()
            digest.update(f"{len(name.encode())}:{name}:{content}\n".encode())
    except OSError as error:
        raise NoPackage(f"{error.filename} can't be read: {error.strerror}") from error
    return digest.hexdigest()


def _answer(asked: dict[str, Any]) -> dict[str, str]:
    """Return the hash, or the reason why there is none."""
    try:
        return {"content": content_of(Path(asked["folder"]), asked["excludes"], {})}
    except NoPackage as refused:
        # not logged: it is the answer, which the reader raises again.
        return {"reason": str(refused)}


if __name__ == "__main__":
    reply(_answer)
