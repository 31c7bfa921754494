"""Find the Docker daemon of this machine, connect to it, and ask what it can do."""

import os
import re
import socket
from dataclasses import dataclass
from pathlib import Path

import docker

from orchestrator.docker_errors import JOIN_ITS_GROUP, START_IT, explain
from orchestrator.errors import MissingPrerequisite
from orchestrator.model.arch import Arch, normalise_arch

DEFAULT_SOCKET = Path("/var/run/docker.sock")
CONNECT_TIMEOUT_S = 10.0
# A loaded engine takes its time to remove a container; the SDK's own default.
REQUEST_TIMEOUT_S = 60

_BINFMT = Path("/proc/sys/fs/binfmt_misc")
# e_machine of a 64-bit ELF file as it stands in a binfmt entry's magic, little-endian.
_ELF_MACHINES: dict[str, Arch] = {"3e00": "x86_64", "b700": "arm64"}
_PLATFORMS: dict[Arch, str] = {"x86_64": "linux/amd64", "arm64": "linux/arm64"}


def connect() -> docker.DockerClient:
    """Return a client of the engine that the `docker` command would use; it has answered once.

    Raises MissingPrerequisite if this machine has none that runs Linux containers and that this user may use.
    """
    host = _host()
    if not host.startswith("unix://"):
        raise MissingPrerequisite(
            f"the Docker engine at {host} can't be used: its containers need folders of this machine",
            "use this machine's own: unset DOCKER_HOST and DOCKER_CONTEXT, then docker context use default",
        )
    _try_socket(Path(host.removeprefix("unix://")))
    with explain(f"asking the Docker engine at {host}"):
        client = docker.DockerClient(base_url=host, version="auto", timeout=int(CONNECT_TIMEOUT_S))
        system = str(client.version().get("Os", "linux"))
    if system != "linux":
        client.close()
        raise MissingPrerequisite(
            f"the Docker engine runs {system} containers, and Ray's nodes are Linux ones",
            "switch Docker Desktop to Linux containers",
        )
    client.api.timeout = REQUEST_TIMEOUT_S
    return client


def _host() -> str:
    """Return the engine's address as the `docker` command finds it: the variable, the context, the usual sockets."""
    if host := os.environ.get("DOCKER_HOST"):
        return re.sub(r"^(http\+)?unix:/+", "unix:///", host)
    from docker.context import ContextAPI

    name = os.environ.get("DOCKER_CONTEXT") or None
    try:
        context = ContextAPI.get_context(name)
        host = str(context.Host) if context is not None else ""
    except Exception as error:  # a damaged file raises whatever its damage leads to
        raise MissingPrerequisite(
            f"the current Docker context can't be read: {error}", "see: docker context ls"
        ) from None
    if context is None:
        raise MissingPrerequisite(
            f"there is no Docker context {name or 'of the current name'}", "see: docker context ls"
        )
    rootless = Path(os.environ.get("XDG_RUNTIME_DIR", "/nowhere")) / "docker.sock"
    if context.name == "default" and not DEFAULT_SOCKET.exists() and rootless.exists():
        return f"unix://{rootless}"
    return host


def _try_socket(path: Path) -> None:
    """Raise MissingPrerequisite unless an engine listens that this user may use: the SDK hides the cause."""
    try:
        with socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(CONNECT_TIMEOUT_S)
            probe.connect(str(path))
    except PermissionError:
        raise MissingPrerequisite(
            f"this user may not use the Docker engine: permission denied on {path}",
            JOIN_ITS_GROUP,
        ) from None
    except FileNotFoundError:
        raise MissingPrerequisite(
            f"there is no Docker engine: {path} doesn't exist",
            f"install one (https://docs.docker.com/engine/install/), or {START_IT}",
        ) from None
    except ConnectionRefusedError:
        raise MissingPrerequisite(f"the Docker engine doesn't run: nobody listens on {path}", START_IT) from None
    except OSError as error:
        raise MissingPrerequisite(
            f"the Docker engine can't be reached at {path}: {error}", "see: docker info"
        ) from None


@dataclass(frozen=True)
class DaemonFacts:
    """Properties of the engine: `memory` in bytes, `cgroup` version, `foreign` the architectures that it emulates."""

    version: str
    cpus: int
    memory: int
    arch: Arch
    rootless: bool
    desktop: bool
    cgroup: str
    foreign: frozenset[Arch]

    def runs(self, arch: Arch) -> bool:
        """Return true if its containers can run programs of this architecture, natively or emulated."""
        return arch == self.arch or arch in self.foreign

    @property
    def shares_network(self) -> bool:
        """Return true if programs on this machine reach containers at the containers' own addresses."""
        return not self.rootless and not self.desktop


def facts(client: docker.DockerClient) -> DaemonFacts:
    """Ask the engine. Raises MissingPrerequisite."""
    with explain("asking the Docker engine what it can do"):
        info = client.info()
    arch = normalise_arch(str(info.get("Architecture", "")))
    desktop = "Docker Desktop" in str(info.get("OperatingSystem", ""))
    return DaemonFacts(
        version=str(info.get("ServerVersion", "")),
        cpus=int(info.get("NCPU", 0)),
        memory=int(info.get("MemTotal", 0)),
        arch=arch,
        rootless=any("rootless" in str(option) for option in info.get("SecurityOptions") or ()),
        desktop=desktop,
        cgroup=str(info.get("CgroupVersion") or 1),
        # Docker Desktop's machine always has the emulators.
        foreign=frozenset(_PLATFORMS) - {arch} if desktop else emulated() - {arch},
    )


def emulated(binfmt: Path = _BINFMT) -> frozenset[Arch]:
    """Return the architectures that this machine's kernel emulates, inside containers too.

    That takes flag F: the kernel opens the emulator when it is registered, since a container lacks it.
    """
    found = set()
    for entry in binfmt.glob("*"):
        try:
            lines = entry.read_text().splitlines()
        except OSError:
            # not logged: `register` can only be written.
            continue
        values = dict(line.split(maxsplit=1) for line in lines[1:] if len(line.split()) > 1)
        machine = _ELF_MACHINES.get(values.get("magic", "")[36:40])
        if lines[:1] == ["enabled"] and "F" in values.get("flags:", "") and machine is not None:
            found.add(machine)
    return frozenset(found)


def platform_of(arch: Arch) -> str | None:
    """Return Docker's name for a platform, such as `linux/arm64`; None for an unknown one, the engine's own."""
    return _PLATFORMS.get(arch)
