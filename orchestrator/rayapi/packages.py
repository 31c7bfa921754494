"""The files of a working directory that Ray would upload with a job, by Ray's own rules, and a hash of them."""

import hashlib
import json
import logging
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

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
    answer = subprocess.run(
        [sys.executable, "-P", "-m", __name__],
        input=json.dumps({"folder": str(folder), "excludes": list(excludes)}),
        capture_output=True,
        text=True,
        env=dict(environment),
        timeout=_DEADLINE_S,
        check=False,
    )
    if answer.returncode != 0:
        lines = answer.stderr.strip().splitlines() or [f"exit code {answer.returncode}"]
        raise NoPackage(lines[-1][:200])
    found: dict[str, str] = json.loads(answer.stdout.splitlines()[-1])
    if "reason" in found:
        raise NoPackage(found["reason"])
    return found["content"]


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


def main() -> None:
    """Read a folder and excludes from stdin; write the hash, or the reason why there is none, to stdout."""
    asked = json.load(sys.stdin)
    import ray  # noqa: F401 - so that `content_of` stays in this process

    try:
        answer: dict[str, Any] = {"content": content_of(Path(asked["folder"]), asked["excludes"], {})}
    except NoPackage as refused:
        # not logged: it is the answer, which the reader raises again.
        answer = {"reason": str(refused)}
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
