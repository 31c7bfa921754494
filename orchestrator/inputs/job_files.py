"""A job's files on this machine: its working directory and its runtime environment, and a hash of both."""

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from orchestrator.errors import InputError
from orchestrator.inputs.yaml_file import read_yaml_mapping
from orchestrator.model.job import Job
from orchestrator.rayapi.packages import NoPackage, content_of

_DIGITS = 16


def located(job: Job, home: Path) -> Job:
    """Return the job with absolute paths and the hash of its files. Raises InputError if there are no such files.

    `home` isn't one of the files, although it may lie in the working directory.
    """
    environment = _read(job)
    folder = _working_dir(job, environment)
    if (script := job.script) is not None and not Path(script).is_absolute():
        if folder is None:
            raise InputError(f"--job: {script} needs a folder, from which Ray takes it", "add --working-dir .")
        if not (folder / script).is_file():
            raise InputError(f"--job: there is no {script} in {folder}", "give its path inside --working-dir")
    content = _content(job, folder, environment, home)
    if job.content not in ("", content):
        raise InputError(
            f"the files of the job aren't those that the spec was made with: {content} instead of {job.content}",
            "leave the key content out to run the files as they are now",
        )
    return job.replace(
        working_dir=None if folder is None else str(folder),
        runtime_env=None if job.runtime_env is None else str(Path(job.runtime_env).resolve()),
        content=content,
    )


def runtime_env(job: Job, home: Path) -> dict[str, Any]:
    """Return the runtime environment to submit a located job with. Raises InputError if its files have changed."""
    environment = _read(job)
    folder = _working_dir(job, environment)
    if _content(job, folder, environment, home) != job.content:
        raise InputError(
            "the files of the job have changed since the sweep was planned, so this would be another trial",
            "start a new sweep",
        )
    if folder is None:
        return dict(environment)
    return {**environment, "working_dir": str(folder), "excludes": _excludes(environment, folder, home)}


def _read(job: Job) -> Mapping[str, Any]:
    return {} if job.runtime_env is None else read_yaml_mapping(Path(job.runtime_env))


def _working_dir(job: Job, environment: Mapping[str, Any]) -> Path | None:
    """Return the folder that is uploaded. As in Ray, the option overrides the file."""
    wanted = job.working_dir or environment.get("working_dir")
    if wanted is None:
        return None
    if "://" in str(wanted):
        raise InputError(
            f"--working-dir: {wanted} isn't on this machine, so nobody knows whether it stays the same",
            "download it, and name the folder",
        )
    folder = Path(str(wanted)).resolve()
    if not folder.is_dir():
        raise InputError(f"--working-dir: there is no folder {wanted}", "name the folder that holds the script")
    return folder


def _content(job: Job, folder: Path | None, environment: Mapping[str, Any], home: Path) -> str:
    digest = hashlib.sha256()
    try:
        if job.runtime_env is not None:
            digest.update(Path(job.runtime_env).read_bytes())
        if folder is not None:
            digest.update(content_of(folder, _excludes(environment, folder, home), os.environ).encode())
    except NoPackage as refused:
        raise InputError(f"--working-dir: Ray can't upload {folder}: {refused}") from refused
    return "" if folder is None and job.runtime_env is None else digest.hexdigest()[:_DIGITS]


def _excludes(environment: Mapping[str, Any], folder: Path, home: Path) -> list[str]:
    """Return the patterns of files that aren't uploaded: the file's, and the home, which grows with each trial."""
    given = [str(each) for each in environment.get("excludes") or ()]
    home = home.resolve()
    inside = home != folder and home.is_relative_to(folder)
    return [*given, f"/{home.relative_to(folder).as_posix()}"] if inside else given
