"""Access to the Docker engine: how it is found, what it can do, and its faults as errors that say what to do."""

import contextlib
import http.client
import os
import re
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import docker
import requests
import urllib3
from docker.errors import APIError, BuildError, DockerException, ImageNotFound, StreamParseError

from orchestrator.errors import ClusterFailed, MissingPrerequisite, OrchestrateError
from orchestrator.model.arch import Arch, normalise_arch

DEFAULT_SOCKET = Path("/var/run/docker.sock")
CONNECT_TIMEOUT_S = 10.0
# A loaded engine takes its time to remove a container; the SDK's own default.
REQUEST_TIMEOUT_S = 60

_BINFMT = Path("/proc/sys/fs/binfmt_misc")
# e_machine of a 64-bit ELF file as it stands in a binfmt entry's magic, little-endian.
_ELF_MACHINES: dict[str, Arch] = {"3e00": "x86_64", "b700": "arm64"}
_PLATFORMS: dict[Arch, str] = {"x86_64": "linux/amd64", "arm64": "linux/arm64"}

_MAX_SAID = 300
_START_IT = "start it: sudo systemctl start docker, or open Docker Desktop"


def connect() -> docker.DockerClient:
    """A client of the engine that the `docker` command would use; it has answered once.

    Raises MissingPrerequisite if there is none on this machine that runs Linux containers, and may be used.
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
    """The engine's address as the `docker` command finds it: the variable, the context, the usual sockets."""
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
    """Raises MissingPrerequisite unless somebody listens whom this user may talk to: the SDK hides which it is."""
    try:
        with socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(CONNECT_TIMEOUT_S)
            probe.connect(str(path))
    except PermissionError:
        raise MissingPrerequisite(
            f"this user may not use the Docker engine: permission denied on {path}",
            "join its group, then log in again: sudo usermod -aG docker $USER",
        ) from None
    except FileNotFoundError:
        raise MissingPrerequisite(
            f"there is no Docker engine: {path} doesn't exist",
            f"install one (https://docs.docker.com/engine/install/), or {_START_IT}",
        ) from None
    except ConnectionRefusedError:
        raise MissingPrerequisite(f"the Docker engine doesn't run: nobody listens on {path}", _START_IT) from None
    except OSError as error:
        raise MissingPrerequisite(
            f"the Docker engine can't be reached at {path}: {error}", "see: docker info"
        ) from None


@dataclass(frozen=True)
class EngineFacts:
    """What the engine is: `memory` in bytes, `cgroup` its version, `foreign` the architectures that it emulates."""

    version: str
    cpus: int
    memory: int
    arch: Arch
    rootless: bool
    desktop: bool
    cgroup: str
    foreign: frozenset[Arch]

    def runs(self, arch: Arch) -> bool:
        """Whether its containers can run programs of this architecture, be it under emulation."""
        return arch == self.arch or arch in self.foreign

    @property
    def shares_network(self) -> bool:
        """Whether programs on this machine reach containers by the containers' own addresses."""
        return not self.rootless and not self.desktop


def facts(client: docker.DockerClient) -> EngineFacts:
    """Ask the engine. Raises MissingPrerequisite."""
    with explain("asking the Docker engine what it can do"):
        info = client.info()
    arch = normalise_arch(str(info.get("Architecture", "")))
    desktop = "Docker Desktop" in str(info.get("OperatingSystem", ""))
    return EngineFacts(
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
    """The architectures that this machine's kernel runs by an emulator, inside containers too.

    That takes flag F: the kernel opened the emulator when it was registered, since a container hasn't got it.
    """
    found = set()
    for entry in binfmt.glob("*"):
        try:
            lines = entry.read_text().splitlines()
        except OSError:
            continue  # `register` can only be written
        values = dict(line.split(maxsplit=1) for line in lines[1:] if len(line.split()) > 1)
        machine = _ELF_MACHINES.get(values.get("magic", "")[36:40])
        if lines[:1] == ["enabled"] and "F" in values.get("flags:", "") and machine is not None:
            found.add(machine)
    return frozenset(found)


def platform_of(arch: Arch) -> str | None:
    """How Docker spells a platform: `linux/arm64`; None for an unknown architecture, which is the engine's own."""
    return _PLATFORMS.get(arch)


@dataclass(frozen=True)
class _Fault:
    """What the engine's words mean for the user."""

    signs: tuple[str, ...]
    meaning: str
    hint: str


_GONE = _Fault((), "the Docker engine doesn't answer", "see whether it runs: docker info")
_NO_PERMISSION = _Fault(
    ("permission denied", "operation not permitted"),
    "permission denied",
    "see whether this user may use the engine, and the engine this user's folders: docker info",
)
_NO_IMAGE = _Fault(
    ("no such image", "pull access denied", "manifest unknown", "repository does not exist", "no matching manifest"),
    "the image isn't there",
    "see what is: docker images; get it: docker pull NAME",
)
_DISK_FULL = _Fault(
    ("no space left on device", "disk quota exceeded", "not enough space"),
    "the engine's disk is full",
    "make room: docker system df, then docker system prune",
)
_RANGE_TAKEN = _Fault(
    ("pool overlaps with other one on this address space",),
    "somebody else takes each free network address range first",
    "try again, with fewer sweeps at a time",
)
# In this order: the first whose sign occurs counts.
_FAULTS = (
    # First, since a cgroup folder that can't be made says "no space left on device" too.
    _Fault(
        ("cgroup", "nanocpus can not be set"),
        "the engine can't limit CPU or memory",
        "see its warnings: docker info; a rootless one needs cgroup v2 and delegation",
    ),
    _DISK_FULL,
    _Fault(
        ("port is already allocated", "address already in use"),
        "a port or address is taken",
        "see by whom: docker ps, ss -ltnp",
    ),
    _Fault(
        ("all predefined address pools have been fully subnetted", "non-overlapping ipv4 address pool"),
        "the engine has no free network address range",
        "remove networks that nobody uses: docker network prune",
    ),
    _RANGE_TAKEN,
    _Fault(
        ("range of cpus",),
        "the engine has fewer CPUs than a node asks for",
        "give the node type fewer CPUs in the cluster file, or the engine more",
    ),
    _Fault(
        ("exec format error",),
        "the image is of an architecture that this machine can't run",
        "take an image of this machine's own, or install emulators: apt install qemu-user-static",
    ),
    _NO_IMAGE,
    _NO_PERMISSION,
    _Fault(
        ("cannot connect to the docker daemon", "connection refused", "connection aborted", "timed out"),
        _GONE.meaning,
        _GONE.hint,
    ),
)
_CONNECTION_LOST = (
    requests.ConnectionError,
    requests.Timeout,
    urllib3.exceptions.HTTPError,
    http.client.HTTPException,
    ConnectionError,
    TimeoutError,
    StreamParseError,
)


ENGINE_ERRORS = (DockerException, requests.RequestException, *_CONNECTION_LOST)
"""Whatever the SDK raises where the engine refuses or fails; streams raise what the connection below does."""


@contextlib.contextmanager
def explain(doing: str) -> Iterator[None]:
    """Turn what goes wrong with the engine meanwhile into one line that begins with `doing`.

    Raises MissingPrerequisite for what a user can mend on this machine, ClusterFailed for anything else.
    """
    try:
        yield
    except ENGINE_ERRORS as error:
        raise explained(doing, error) from None


def explained(doing: str, error: Exception) -> OrchestrateError:
    """The error for the user that an exception of the SDK, or of the connection below it, stands for."""
    said, fault = _said(error), _fault(error)
    if fault is None:
        return ClusterFailed(f"{doing}: {said}", "see: docker info, docker ps --all")
    return MissingPrerequisite(f"{doing}: {fault.meaning}: {said}", fault.hint)


def is_disk_full(error: Exception) -> bool:
    """Whether an exception says that the engine has no room left."""
    return _fault(error) is _DISK_FULL


def is_range_taken(error: Exception) -> bool:
    """Whether an exception says that the network address range that was asked for is another network's."""
    return _fault(error) is _RANGE_TAKEN


def is_connection_lost(error: Exception) -> bool:
    """Whether nothing was heard of the engine, rather than a refusal: it may be back in a moment."""
    return not isinstance(error, APIError)


def _fault(error: Exception) -> _Fault | None:
    if isinstance(error, ImageNotFound):
        return _NO_IMAGE
    words = _said(error).lower()
    known = next((fault for fault in _FAULTS if any(sign in words for sign in fault.signs)), None)
    return known or (_GONE if isinstance(error, _CONNECTION_LOST) else None)


def _said(error: Exception) -> str:
    """What the engine said, in one line."""
    text = str(error)
    if isinstance(error, APIError):
        text = str(error.explanation or error)
    elif isinstance(error, BuildError):
        text = str(error.msg)
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__)[:_MAX_SAID]
