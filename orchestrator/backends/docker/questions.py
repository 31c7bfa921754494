"""Questions of `doctor` about the Docker daemon, the image of nodes, and nodes of the other architecture."""

import functools
from functools import partial

import docker

from orchestrator.backends.docker.daemon import DaemonFacts, connect, facts
from orchestrator.backends.docker.image import base_image_name, default_image_state
from orchestrator.errors import MissingPrerequisite
from orchestrator.model.arch import Arch
from orchestrator.readiness import Finding, Question

_FOREIGN: dict[Arch, Arch] = {"x86_64": "arm64", "arm64": "x86_64"}


class Daemon:
    """The daemon, asked once. Raises MissingPrerequisite wherever it is needed and missing."""

    @functools.cached_property
    def client(self) -> docker.DockerClient:
        """See `connect`."""
        return connect()

    @functools.cached_property
    def facts(self) -> DaemonFacts:
        """See `facts`."""
        return facts(self.client)

    def require(self) -> DaemonFacts:
        """Return its facts, for questions that make no sense without it; another question says why it is missing."""
        try:
            return self.facts
        except MissingPrerequisite:
            raise MissingPrerequisite("no usable Docker engine") from None


def docker_questions() -> list[Question]:
    """Return the questions about containers, in their order."""
    daemon = Daemon()
    return [
        Question("Docker engine", ("docker", "stack"), partial(docker_daemon, daemon)),
        Question("Ray image", ("docker",), partial(ray_image, daemon)),
        Question("arm64 nodes", ("docker",), partial(foreign_nodes, daemon)),
    ]


def docker_daemon(daemon: Daemon) -> Finding:
    """Return the daemon's version and kind."""
    found = daemon.facts
    kind = "rootless" if found.rootless else "Docker Desktop" if found.desktop else "system"
    detail = (
        f"Docker {found.version} ({kind}, cgroup v{found.cgroup}), {found.cpus} CPUs, {found.memory / 2**30:.0f} GiB,"
        f" {found.arch}"
    )
    if not found.shares_network:
        return Finding(
            "warning",
            f"{detail}; this machine doesn't reach its containers by their own addresses",
            "for Prometheus to scrape each node, use a system engine: DOCKER_HOST=unix:///var/run/docker.sock",
        )
    return Finding("ok", detail)


def ray_image(daemon: Daemon) -> Finding:
    """Return whether the default image exists, and what it takes to build it."""
    arch = daemon.require().arch
    name, state = default_image_state(daemon.client, arch)
    base = base_image_name(arch)
    if state == "present":
        return Finding("ok", f"{name} is up to date")
    if state == "stale":
        return Finding("ok", f"{name} holds another version of orchestrate; the next sweep builds it again")
    if daemon.client.images.list(name=base):
        return Finding("ok", f"{name} will be built from {base} by the first sweep")
    return Finding("warning", f"{name} isn't built, and {base} isn't here", f"get it now: docker pull {base}")


def foreign_nodes(daemon: Daemon) -> Finding:
    """Return whether nodes of the other architecture are real, which takes an emulator and an image."""
    found = daemon.require()
    other = _FOREIGN.get(found.arch)
    if other is None:
        return Finding("warning", f"the engine is {found.arch}: node types of any architecture run on it by label")
    by_label = f"{found.arch} nodes are native, {other} ones too, with their architecture as a label only"
    if not found.runs(other):
        return Finding("warning", by_label, "for real ones install emulators: apt install qemu-user-static")
    name, state = default_image_state(daemon.client, other)
    emulator = "Docker Desktop" if found.desktop else "qemu"
    if state == "absent":
        return Finding(
            "warning",
            f"{by_label}: {emulator} could emulate them, but {name} isn't here",
            "make it as docs/docker.md says, or name an image in the node type's node_config",
        )
    return Finding("ok", f"{found.arch} nodes are native, {other} ones emulated by {emulator}, from {name}")
