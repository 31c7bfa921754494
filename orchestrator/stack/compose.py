"""Calls of the `docker` command, with errors that name exactly what is missing on this machine."""

import json
import logging
import os
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from orchestrator.errors import MissingPrerequisite
from orchestrator.inputs.secrets import inherited

_log = logging.getLogger(__name__)

# An engine answers within a second. Stopping Prometheus alone may take 30 s, see docker-compose.yml.
ANSWERS_WITHIN_S = 20.0
ACTS_WITHIN_S = 120.0
_ENDS_WITHIN_S = 2.0
_ASKING = ("version", "info", "image", "ps", "logs")

Line = Callable[[str], None]


@dataclass(frozen=True)
class Result:
    """The result of a command. If its lines were followed, `err` holds all its output."""

    code: int
    out: str
    err: str

    @property
    def last_line(self) -> str:
        """The last line of its errors, where docker writes the reason."""
        return next(
            (line.strip() for line in reversed(self.err.splitlines()) if line.strip()), f"exit code {self.code}"
        )


class Docker(Protocol):
    """A function that runs `docker` with these arguments to its end, and calls `follow` with each output line."""

    def __call__(self, *arguments: str, stdin: str | None = None, follow: Line | None = None) -> Result:
        """Run docker. Raises MissingPrerequisite if the command is missing or the engine doesn't answer in time."""
        ...


def run_docker(*arguments: str, stdin: str | None = None, follow: Line | None = None) -> Result:
    """Run the real docker in the user's environment without our variables, which belong in the env file."""
    environment = inherited()
    command = ["docker", *arguments]
    try:
        if follow is None:
            return _answered(command, environment, stdin or "")
        return _followed(command, environment, follow)
    except FileNotFoundError:
        raise MissingPrerequisite(
            "Docker isn't installed: there is no docker command on PATH",
            "install Docker Engine with its compose plugin: https://docs.docker.com/engine/install/,"
            " or run Prometheus alone without it: orchestrate stack up --native",
        ) from None
    except PermissionError as error:
        raise MissingPrerequisite(f"docker can't be run: {error.strerror}") from None


def _answered(command: Sequence[str], environment: dict[str, str], stdin: str) -> Result:
    within_s = ANSWERS_WITHIN_S if set(_ASKING) & set(command) else ACTS_WITHIN_S
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True, env=environment) as process:
        try:
            out, err = process.communicate(stdin, within_s)
        except subprocess.TimeoutExpired:
            host = os.environ.get("DOCKER_HOST", "")
            raise MissingPrerequisite(
                f"the Docker daemon doesn't answer: no end of `docker {' '.join(command[1:3])}` within {within_s:g} s",
                f"is DOCKER_HOST={host} right, and up?" if host else "see: docker info",
            ) from None
        finally:
            _end(process)
    return Result(process.returncode, out, err)


def _end(process: "subprocess.Popen[str]") -> None:
    """Terminate docker, which passes the signal on to its plugins; kill it only if it doesn't end."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(_ENDS_WITHIN_S)
        except subprocess.TimeoutExpired:
            _log.debug("docker doesn't end: killing it")
            process.kill()


def _followed(command: Sequence[str], environment: dict[str, str], follow: Line) -> Result:
    lines = []
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment,
    ) as process:
        try:
            assert process.stdout is not None
            for line in process.stdout:
                lines.append(line)
                follow(line.strip())
        except BaseException:
            # If only this process gets a signal, compose would keep running.
            process.terminate()
            raise
    return Result(process.returncode, "", "".join(lines))


def check_engine(docker: Docker) -> None:
    """Raise MissingPrerequisite unless this machine has the compose plugin and an engine that shares its network."""
    compose = docker("compose", "version", "--short")
    if compose.code != 0:
        raise MissingPrerequisite(
            "Docker has no compose plugin: `docker compose version` fails",
            "install it: https://docs.docker.com/compose/install/linux/",
        )
    if compose.out.strip().lstrip("v").startswith("1."):
        raise MissingPrerequisite(
            f"docker compose {compose.out.strip()} is too old; 2 or newer is needed",
            "install the plugin: https://docs.docker.com/compose/install/linux/",
        )
    asked = docker("info", "--format", "{{json .}}")
    engine = _parsed(asked.out)
    # Newer clients fail if the daemon doesn't answer. Older ones report it in the document and exit with 0.
    problems = [str(problem) for problem in engine.get("ServerErrors") or ()]
    if asked.code != 0 or problems:
        from orchestrator.docker_errors import unusable

        raise unusable(problems[-1] if problems else asked.last_line)
    if any("rootless" in str(option) for option in engine.get("SecurityOptions") or ()):
        raise MissingPrerequisite(
            "this Docker is rootless: its containers can't reach 127.0.0.1 of this machine",
            "use the system's engine: DOCKER_HOST=unix:///var/run/docker.sock orchestrate stack up",
        )


def is_desktop(docker: Docker) -> bool:
    """Return whether the engine is Docker Desktop's, where host networking is off by default."""
    return "Docker Desktop" in docker("info", "--format", "{{.OperatingSystem}}").out


def missing_images(docker: Docker, images: Sequence[str]) -> list[str]:
    """Return the images that the engine lacks."""
    return [image for image in images if docker("image", "inspect", "--format", "{{.Id}}", image).code != 0]


def _parsed(text: str) -> dict[str, Any]:
    try:
        document = json.loads(text)
    except ValueError:
        _log.debug("docker's answer is no JSON: %.200r", text)
        return {}
    return document if isinstance(document, dict) else {}
