"""Find, pull or build the image of a node, and refuse it before anything starts if its Python or Ray doesn't fit."""

import json
import logging
import os
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import docker
from docker.errors import APIError
from docker.models.images import Image
from docker.types import LogConfig

from orchestrator.backends.docker.daemon import platform_of
from orchestrator.backends.docker.image_build import (
    Progress,
    base_image_name,
    build,
    default_image_name,
    is_current,
    package_digest,
    present,
    pull,
)
from orchestrator.docker_errors import explain
from orchestrator.errors import ClusterFailed, MissingPrerequisite
from orchestrator.model.arch import Arch, normalise_arch
from orchestrator.rayapi.version import ray_version

_log = logging.getLogger(__name__)

__all__ = [
    "PACKAGE_FOLDER",
    "RayImage",
    "base_image_name",
    "default_image_name",
    "default_image_state",
    "ensure_image",
    "package_digest",
    "same_versions",
]

PACKAGE_FOLDER = "/opt/orchestrate"
"""The package's place in the image: the value of PYTHONPATH, and the folder that `orchestrator` is in."""

CHECK_TIMEOUT_S = 120  # an emulated Python takes its time

# The question to an image. Its Python may be very old, so the version is reported first.
_QUESTION = """
import json, platform, sys
told = {"python": sys.executable, "python_version": platform.python_version(), "machine": platform.machine()}
try:
    from importlib.metadata import version
    told["ray"] = version("ray")
except ImportError:
    told["ray"] = None
print(json.dumps(told))
"""
_NO_PYTHON = 127
_SHELL = f'p=$(command -v python || command -v python3) || exit {_NO_PYTHON}; exec "$p" -c "$0"'


@dataclass(frozen=True)
class RayImage:
    """An image that nodes can run: `python` is the path of its Python, `machine` what `uname -m` says in it.

    Without `has_package` the caller mounts this machine's package at `PACKAGE_FOLDER`/orchestrator, read-only.
    """

    name: str
    image_id: str
    python: str
    python_version: str
    ray_version: str
    machine: str
    has_package: bool

    @property
    def versions(self) -> str:
        """`Ray 2.60.0 and Python 3.11.7`."""
        return f"Ray {self.ray_version} and Python {self.python_version}"


def ensure_image(
    client: docker.DockerClient,
    wanted: str | None,
    *,
    platform: str | None = None,
    user: str | None = None,
    labels: Mapping[str, str] | None = None,
    progress: Progress = lambda line: None,
) -> RayImage:
    """Return the image `wanted`, pulled if needed; for None, the default image, built unless it is up to date.

    `platform` (`linux/arm64`) is the engine's own by default, `user` (`uid:gid`) this process's. A container with
    `labels` examines the image, and is then removed. Raises MissingPrerequisite if the image can't be had or
    doesn't fit this process's Ray and Python, ClusterFailed if the engine fails in any other way.
    """
    with explain("asking the Docker engine for its architecture"):
        arch = normalise_arch(platform.split("/")[1] if platform else str(client.version().get("Arch", "")))
    name = wanted or default_image_name(arch)
    with explain(f"looking for the image {name}"):
        image = present(client, name, arch)
    if wanted is None:
        if image is None or not is_current(image):
            image = build(client, name, arch, image, progress)
    elif image is None:
        image = pull(client, name, arch, progress)
    return _examined(client, name, image, arch, user or f"{os.getuid()}:{os.getgid()}", labels or {})


def default_image_state(client: docker.DockerClient, arch: Arch) -> tuple[str, str]:
    """Return the default image's name, and `present`, `stale` (it would be built again) or `absent`."""
    name = default_image_name(arch)
    with explain(f"looking for the image {name}"):
        image = present(client, name, arch)
    return name, "absent" if image is None else "present" if is_current(image) else "stale"


def same_versions(images: Iterable[RayImage]) -> None:
    """Raise MissingPrerequisite unless all have the same Ray and the very same Python: Ray refuses to mix them."""
    first, *others = images
    for other in others:
        if other.versions != first.versions:
            raise MissingPrerequisite(
                f"nodes of one cluster need the same Ray and Python: {first.name} has {first.versions}, "
                f"{other.name} has {other.versions}",
                "give all node types images that were built alike",
            )


@dataclass(frozen=True)
class _Answer:
    """The exit code of the question, and the last line of each stream."""

    code: int
    out: str
    err: str


# An image's content doesn't change, but each user may or may not be able to read it.
_known: dict[tuple[str, str, Arch], dict[str, Any]] = {}


def _examined(
    client: docker.DockerClient, name: str, image: Image, arch: Arch, user: str, labels: Mapping[str, str]
) -> RayImage:
    key = (str(image.id), user, arch)
    if key not in _known:
        _known[key] = _told(client, name, image, arch, user, labels)
    told = _known[key]
    found = RayImage(
        name=name,
        image_id=str(image.id),
        python=str(told["python"]),
        python_version=str(told["python_version"]),
        ray_version=str(told["ray"] or ""),
        machine=str(told["machine"]),
        has_package=is_current(image),
    )
    _check_versions(found)
    return found


def _check_versions(image: RayImage) -> None:
    ours = (ray_version(), f"{sys.version_info.major}.{sys.version_info.minor}")
    hint = f"take an image with these, such as {base_image_name(normalise_arch(image.machine))}, or leave --image out"
    python = ".".join(image.python_version.split(".")[:2])
    if not image.ray_version:
        raise MissingPrerequisite(
            f"the image {image.name} has no Ray in its Python {image.python_version} ({image.python}); "
            f"Ray {ours[0]} is needed",
            hint,
        )
    if (image.ray_version, python) != ours:
        raise MissingPrerequisite(
            f"the image {image.name} has {image.versions}, but orchestrate runs on Ray {ours[0]} and Python "
            f"{ours[1]}: both have to be the same",
            hint,
        )


def _told(
    client: docker.DockerClient, name: str, image: Image, arch: Arch, user: str, labels: Mapping[str, str]
) -> dict[str, Any]:
    """Return the report of the image's Python. Raises MissingPrerequisite if this user can't run any."""
    answer = _ask(client, name, image, arch, user, labels)
    if answer.code == 0:
        try:
            return dict(json.loads(answer.out))
        except ValueError:
            raise ClusterFailed(f"the Python of the image {name} answers with no JSON: {answer.out[:200]}") from None
    if "exec format error" in answer.err:
        machine = image.attrs.get("Architecture", "another architecture")
        raise MissingPrerequisite(
            f"the image {name} is for {machine}, and this machine can't run that",
            "install emulators: apt install qemu-user-static, or docker run --privileged --rm tonistiigi/binfmt"
            " --install all",
        )
    # Nobody tells a file that isn't there from one in a closed folder, but the image's own user may see it.
    own = _ask(client, name, image, arch, None, labels)
    if own.code == 0:
        raise MissingPrerequisite(
            f"the image {name} has a Python that user {user} can't use, which its containers run as",
            "open its folder in the image (chmod o+x), as the default image does: leave --image out",
        )
    if answer.code == _NO_PYTHON:
        raise MissingPrerequisite(
            f"the image {name} has no Python, so it can't run Ray",
            f"take one that has Ray, such as {base_image_name(arch)}, or leave --image out",
        )
    raise MissingPrerequisite(
        f"the Python of the image {name} doesn't work: {answer.err or f'exit code {answer.code}'}",
        f"take another, such as {base_image_name(arch)}, or leave --image out",
    )


def _ask(
    client: docker.DockerClient, name: str, image: Image, arch: Arch, user: str | None, labels: Mapping[str, str]
) -> _Answer:
    """Put the question to the image, in a container that is then removed."""
    with explain(f"looking into the image {name}"):
        container = client.containers.create(
            str(image.id),
            entrypoint=["/bin/sh", "-c", _SHELL, _QUESTION],
            command=[],
            platform=platform_of(arch),
            user=user,
            labels=dict(labels),
            working_dir="/",
            network_mode="none",
            read_only=True,
            # The engine's own log driver may keep nothing that could be read again.
            log_config=LogConfig(type=LogConfig.types.JSON),
        )
        try:
            try:
                container.start()
            except APIError as error:
                _log.debug("the container can't be started", exc_info=True)
                words = str(error.explanation)
                if "/bin/sh" not in words:
                    raise
                return _Answer(_NO_PYTHON, "", words.splitlines()[0])
            code = int(container.wait(timeout=CHECK_TIMEOUT_S)["StatusCode"])
            return _Answer(code, *(_last_line(container.logs(stdout=out, stderr=not out)) for out in (True, False)))
        finally:
            container.remove(force=True, v=True)


def _last_line(said: bytes) -> str:
    lines = said.decode(errors="replace").strip().splitlines()
    return lines[-1].strip() if lines else ""
