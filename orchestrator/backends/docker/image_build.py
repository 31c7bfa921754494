"""Pull the image of a node, or build it from Ray's own image with this package in it."""

import functools
import hashlib
import io
import logging
import platform
import sys
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import docker
from docker.errors import APIError, BuildError, ImageNotFound
from docker.models.images import Image
from docker.utils import parse_repository_tag

from orchestrator.assets import bundled
from orchestrator.backends.docker.daemon import platform_of
from orchestrator.docker_errors import explain, is_disk_full
from orchestrator.errors import MissingPrerequisite
from orchestrator.model.arch import Arch, normalise_arch
from orchestrator.rayapi.version import ray_version

_log = logging.getLogger(__name__)

PACKAGE_LABEL = "dev.orchestrate.package"
"""The label with the digest of the package that is in an image."""

_PACKAGE = Path(__file__).parents[2]
_DOCKERFILE = "cluster/Dockerfile"

Progress = Callable[[str], None]
"""Told in one line what is being done now."""


def base_image_name(arch: Arch = "x86_64") -> str:
    """Return the name of Ray's official image, such as `rayproject/ray:2.60.0-py311`, `…-aarch64`."""
    return f"rayproject/ray:{_tag('aarch64' if arch == 'arm64' else '')}"


def default_image_name(arch: Arch = "x86_64") -> str:
    """Return the name of the image that is built here: `orchestrate-ray:2.60.0-py311`, `…-arm64`."""
    return f"orchestrate-ray:{_tag('arm64' if arch == 'arm64' else '')}"


def _tag(suffix: str) -> str:
    parts = (ray_version(), f"py{sys.version_info.major}{sys.version_info.minor}", suffix)
    return "-".join(part for part in parts if part)


@functools.cache
def package_digest() -> str:
    """Return a digest of the package's files: their names and content, not their times."""
    seen = hashlib.sha256()
    for name, path in _package_files():
        content = path.read_bytes()
        seen.update(f"{name}\0{len(content)}\0".encode() + content)
    return seen.hexdigest()


def _package_files() -> Iterator[tuple[str, Path]]:
    """Return the package's files by their relative names, without caches and the wheel's bundle."""
    for path in sorted(_PACKAGE.rglob("*")):
        parts = path.relative_to(_PACKAGE).parts
        if path.is_file() and "__pycache__" not in parts and parts[0] != "bundle" and not path.name.startswith("."):
            yield "/".join(parts), path


def is_current(image: Image) -> bool:
    """Return true if exactly this package is in the image."""
    return image.labels.get(PACKAGE_LABEL) == package_digest()


def present(client: docker.DockerClient, name: str, arch: Arch) -> Image | None:
    """Return the image of that name if it is on this machine, and for this architecture."""
    try:
        image = client.images.get(name)
    except ImageNotFound:
        # not logged: it is the answer.
        return None
    found = normalise_arch(str(image.attrs.get("Architecture", "")))
    return image if "unknown" in (found, arch) or found == arch else None


def pull(client: docker.DockerClient, name: str, arch: Arch, progress: Progress) -> Image:
    """Pull an image. Raises MissingPrerequisite, with the command that does the same, if that fails."""
    wanted = "" if arch in ("unknown", normalise_arch(platform.machine())) else f"--platform {platform_of(arch)} "
    hint = f"docker pull {wanted}{name}, or name another with --image"
    progress(f"pulling {name}")
    with explain(f"pulling the image {name}"):
        try:
            _follow_pull(client, name, arch, progress)
        except APIError as error:
            if is_disk_full(error):
                raise
            said = str(error.explanation or error)
            raise MissingPrerequisite(f"the image {name} isn't here and can't be pulled: {said}", hint) from None
        image = present(client, name, arch)
    if image is None:
        raise MissingPrerequisite(f"the image {name} isn't there for {arch}", hint)
    return image


def _follow_pull(client: docker.DockerClient, name: str, arch: Arch, progress: Progress) -> None:
    repository, tag = parse_repository_tag(name)
    layers: dict[str, tuple[int, int]] = {}
    steps = client.api.pull(repository, tag or "latest", stream=True, decode=True, platform=platform_of(arch))
    for step in steps:
        if "error" in step:
            raise APIError("", explanation=str(step["error"]))
        amount = step.get("progressDetail") or {}
        if step.get("status") == "Downloading" and "total" in amount:
            layers[step["id"]] = (amount["current"], amount["total"])
            done, total = (sum(each) / 1e6 for each in zip(*layers.values(), strict=True))
            progress(f"pulling {name}: {done:.0f} of {total:.0f} MB")


def build(client: docker.DockerClient, name: str, arch: Arch, stale: Image | None, progress: Progress) -> Image:
    """Build the default image from Ray's own. A stale one is replaced, or used if Ray's own can't be pulled."""
    base_name = base_image_name(arch)
    try:
        with explain(f"looking for the image {base_name}"):
            base = present(client, base_name, arch)
        base = base or pull(client, base_name, arch, progress)
    except MissingPrerequisite:
        if stale is not None:
            return stale
        raise
    progress(f"building {name}")
    with explain(f"building the image {name}"):
        said = ""
        for step in client.api.build(
            fileobj=io.BytesIO(_context()),
            custom_context=True,
            dockerfile=_DOCKERFILE,
            tag=name,
            buildargs={"RAY_IMAGE": base_name, "RAY_USER": str(base.attrs["Config"].get("User") or "0")},
            labels={PACKAGE_LABEL: package_digest()},
            network_mode="none",
            platform=platform_of(arch),
            rm=True,
            forcerm=True,
            decode=True,
        ):
            if "error" in step:
                raise BuildError(f"{step['error']}: {said}" if said else str(step["error"]), iter(()))
            if line := str(step.get("stream", "")).strip():
                said = "" if line.startswith("Step ") else line.splitlines()[-1]
                if line.startswith("Step "):
                    progress(f"building {name}: {line}")
        built = client.images.get(name)
    if stale is not None and stale.id != built.id:
        _remove_untagged(client, stale)
    return built


def _remove_untagged(client: docker.DockerClient, image: Image) -> None:
    """Remove an image without a name. If a container uses it, leave it to the next time or `docker image prune`."""
    try:
        if not client.images.get(str(image.id)).tags:
            client.api.remove_image(str(image.id))
    except APIError as error:
        _log.debug("an old image stays: %s", error)


def _context() -> bytes:
    """Return the build context as a tar archive: equal bytes for equal files, so that Docker caches its steps."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        files = [
            (_DOCKERFILE, bundled(_DOCKERFILE)),
            *((f"orchestrator/{name}", path) for name, path in _package_files()),
        ]
        for name, path in files:
            content = path.read_bytes()
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), 0o644
            archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()
