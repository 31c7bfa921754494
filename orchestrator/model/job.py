"""The user's own script as a workload: the command, and the files that it needs."""

import shlex
from pathlib import PurePath
from typing import Annotated, Any

from pydantic import Field, model_validator

from orchestrator.model.base import FrozenModel

PATHS = ("working_dir", "runtime_env")
"""The fields that say where files are. The id of a trial depends on `content` instead, so it is the same elsewhere."""

CANNOT_SIMULATE = "a script can't be simulated: nobody knows its tasks before it has run"
RUN_INSTEAD = "run it on --backend local or docker, or describe its tasks with --tasks, --task-seconds and --task-cpus"

Path = Annotated[str, Field(min_length=1, max_length=4096)]


class Job(FrozenModel):
    """A script that Ray's jobs API runs, unchanged.

    `entrypoint` is a shell command. `working_dir` is a folder on this machine, whose files Ray uploads, and
    `runtime_env` a YAML file in Ray's format. `content` is a hash of both; the plan computes it.
    """

    entrypoint: Annotated[str, Field(min_length=1, max_length=10_000)]
    working_dir: Path | None = None
    runtime_env: Path | None = None
    content: Annotated[str, Field(max_length=64)] = ""

    @model_validator(mode="before")
    @classmethod
    def _command_alone(cls, value: Any) -> Any:
        """Accept a command in place of a mapping."""
        if isinstance(value, dict) and not value.get("entrypoint"):
            raise ValueError("the command is missing, such as --job 'python train.py', or the key entrypoint in a spec")
        return {"entrypoint": value} if isinstance(value, str) else value

    @property
    def script(self) -> str | None:
        """The Python file that the command runs, if it is a plain `python FILE …`."""
        try:
            words = shlex.split(self.entrypoint)
        except ValueError:
            # not logged: the shell on the head will say what is wrong with the command.
            return None
        if not words or not PurePath(words[0]).name.startswith("python"):
            return None
        first = next((word for word in words[1:] if not word.startswith("-")), "")
        return first if first.endswith(".py") else None

    def describe(self) -> str:
        """Return a summary such as `job: python train.py`."""
        return f"job: {' '.join(self.entrypoint.split())}"
