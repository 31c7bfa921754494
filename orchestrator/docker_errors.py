"""Errors of Docker's SDK and command line, with their meaning and the user's next step."""

import contextlib
import http.client
from collections.abc import Iterator
from dataclasses import dataclass

import requests
import urllib3
from docker.errors import APIError, BuildError, DockerException, ImageNotFound, StreamParseError

from orchestrator.errors import ClusterFailed, MissingPrerequisite, OrchestrateError

START_IT = "start it: sudo systemctl start docker, or open Docker Desktop"
JOIN_ITS_GROUP = "join its group, then log in again: sudo usermod -aG docker $USER"
_MAX_SAID = 300


@dataclass(frozen=True)
class _Fault:
    """The meaning of an engine's message for the user."""

    signs: tuple[str, ...]
    meaning: str
    hint: str


_GONE = _Fault((), "the Docker engine doesn't answer", "check that it runs: docker info")


_NOT_RUNNING = _Fault(
    ("cannot connect to the docker daemon", "docker daemon running", "connect: no such file or directory"),
    "the Docker engine doesn't run",
    START_IT,
)


_NO_ACCESS = _Fault(
    ("docker daemon socket", "connect: permission denied"), "this user may not use the Docker engine", JOIN_ITS_GROUP
)


_NO_PERMISSION = _Fault(
    ("permission denied", "operation not permitted"),
    "permission denied",
    "check that this user may use the engine, and that the engine may read this user's folders: docker info",
)


_NO_IMAGE = _Fault(
    ("no such image", "pull access denied", "manifest unknown", "repository does not exist", "no matching manifest"),
    "the image doesn't exist",
    "list images: docker images; get one: docker pull NAME",
)


_DISK_FULL = _Fault(
    ("no space left on device", "disk quota exceeded", "not enough space"),
    "the engine's disk is full",
    "make room: docker system df, then docker system prune",
)


_RANGE_TAKEN = _Fault(
    ("pool overlaps with other one on this address space",),
    "another process takes each free network address range first",
    "try again, with fewer sweeps at a time",
)


# The order matters: the first fault with a matching sign applies.
_FAULTS = (
    # First, because a failure to create a cgroup folder also says "no space left on device".
    _Fault(
        ("cgroup", "nanocpus can not be set"),
        "the engine can't limit CPU or memory",
        "see its warnings: docker info; a rootless engine needs cgroup v2 and delegation",
    ),
    _DISK_FULL,
    _Fault(
        ("port is already allocated", "address already in use"),
        "a port or address is in use",
        "find its user: docker ps, ss -ltnp",
    ),
    _Fault(
        ("all predefined address pools have been fully subnetted", "non-overlapping ipv4 address pool"),
        "the engine has no free network address range",
        "remove unused networks: docker network prune",
    ),
    _RANGE_TAKEN,
    _Fault(
        ("range of cpus",),
        "the engine has fewer CPUs than a node requests",
        "give the node type fewer CPUs in the cluster file, or the engine more",
    ),
    _Fault(
        ("exec format error",),
        "the image is of an architecture that this machine can't run",
        "take an image of this machine's own, or install emulators: apt install qemu-user-static",
    ),
    _NO_IMAGE,
    _NO_ACCESS,
    _NO_PERMISSION,
    _NOT_RUNNING,
    _Fault(("connection refused", "connection aborted", "timed out"), _GONE.meaning, _GONE.hint),
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


@contextlib.contextmanager
def explain(doing: str) -> Iterator[None]:
    """Turn errors of the engine inside the context into one line that begins with `doing`.

    Raises MissingPrerequisite for problems that a user can fix on this machine, ClusterFailed for all others.
    """
    try:
        yield
    except ENGINE_ERRORS as error:
        raise explained(doing, error) from None


def explained(doing: str, error: Exception) -> OrchestrateError:
    """Return the error for the user that matches an exception of the SDK or of its connection."""
    said, fault = _said(error), _fault(error)
    if fault is None:
        return ClusterFailed(f"{doing}: {said}", "see: docker info, docker ps --all")
    return MissingPrerequisite(f"{doing}: {fault.meaning}: {said}", fault.hint)


def unusable(said: str) -> MissingPrerequisite:
    """Return the error for an engine that the `docker` command can't use, from the reason that it gives."""
    fault = _known(said)
    if fault is None:
        return MissingPrerequisite(f"the Docker engine can't be used: {said}", "see: docker info")
    return MissingPrerequisite(f"{fault.meaning}: {said}", fault.hint)


def is_disk_full(error: Exception) -> bool:
    """Return true if an exception means that the engine's disk is full."""
    return _fault(error) is _DISK_FULL


def is_range_taken(error: Exception) -> bool:
    """Return true if an exception means that another network uses the requested address range."""
    return _fault(error) is _RANGE_TAKEN


def is_connection_lost(error: Exception) -> bool:
    """Return true if the engine didn't answer at all. It can be back in a moment."""
    return not isinstance(error, APIError)


def _fault(error: Exception) -> _Fault | None:
    if isinstance(error, ImageNotFound):
        return _NO_IMAGE
    return _known(_said(error)) or (_GONE if isinstance(error, _CONNECTION_LOST) else None)


def _known(said: str) -> _Fault | None:
    words = said.lower()
    return next((fault for fault in _FAULTS if any(sign in words for sign in fault.signs)), None)


def _said(error: Exception) -> str:
    """Return the engine's message in one line."""
    text = str(error)
    if isinstance(error, APIError):
        text = str(error.explanation or error)
    elif isinstance(error, BuildError):
        text = str(error.msg)
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__)[:_MAX_SAID]
