"""The Docker engine is found where `docker` finds it, and each fault of it is one line that says what to do."""

import contextlib
import hashlib
import json
import os
import socket
import socketserver
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
import requests
import urllib3
from docker.errors import APIError, BuildError, DockerException, ImageNotFound, NotFound, StreamParseError

from orchestrator.backends.docker import daemon
from orchestrator.backends.docker.daemon import connect, emulated, facts, platform_of
from orchestrator.docker_errors import explain
from orchestrator.errors import ClusterFailed, MissingPrerequisite, OrchestrateError

NOBODY = 65534


@pytest.fixture(autouse=True)
def _no_engine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nothing of this machine's own Docker is seen."""
    for name in ("DOCKER_HOST", "DOCKER_CONTEXT", "XDG_RUNTIME_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "config"))
    monkeypatch.setattr(daemon, "DEFAULT_SOCKET", tmp_path / "default.sock")


def refused() -> MissingPrerequisite:
    """Why there is no connection; one line with a hint."""
    with pytest.raises(MissingPrerequisite) as raised:
        connect()
    assert len(raised.value.message.splitlines()) == 1
    assert raised.value.hint
    return raised.value


def abandoned(path: Path) -> None:
    """A socket that nobody listens on any more."""
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))


def use(monkeypatch: pytest.MonkeyPatch, path: Path) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{path}")


def test_no_engine_at_all(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    use(monkeypatch, tmp_path / "docker.sock")
    error = refused()

    assert error.message == f"there is no Docker engine: {tmp_path}/docker.sock doesn't exist"
    assert "docs.docker.com/engine/install" in str(error.hint)


def test_an_engine_that_does_not_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    abandoned(tmp_path / "docker.sock")
    use(monkeypatch, tmp_path / "docker.sock")
    error = refused()

    assert error.message.startswith("the Docker engine doesn't run")
    assert "systemctl start docker" in str(error.hint)


def test_no_permission_on_the_socket(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    abandoned(tmp_path / "docker.sock")
    (tmp_path / "docker.sock").chmod(0)
    use(monkeypatch, tmp_path / "docker.sock")
    with as_nobody():
        error = refused()

    assert error.message.startswith("this user may not use the Docker engine: permission denied on")
    assert "usermod -aG docker" in str(error.hint)


@contextlib.contextmanager
def as_nobody() -> Iterator[None]:
    """Root may do everything; anybody else is themselves."""
    if os.getuid() != 0:
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.mark.parametrize("host", ["tcp://10.0.0.5:2376", "ssh://me@build-machine", "npipe:////./pipe/docker_engine"])
def test_an_engine_elsewhere_is_refused(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    monkeypatch.setenv("DOCKER_HOST", host)
    error = refused()

    assert f"the Docker engine at {host} can't be used" in error.message
    assert "unset DOCKER_HOST" in str(error.hint)


def context(folder: Path, name: str, host: str) -> None:
    """A context as `docker context create` writes it."""
    meta = folder / "contexts" / "meta" / hashlib.sha256(name.encode()).hexdigest() / "meta.json"
    meta.parent.mkdir(parents=True)
    document = {"Name": name, "Metadata": {}, "Endpoints": {"docker": {"Host": host, "SkipTLSVerify": False}}}
    meta.write_text(json.dumps(document))


@pytest.mark.parametrize("chosen_by", ["file", "variable"])
def test_the_current_context_counts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, chosen_by: str) -> None:
    context(tmp_path / "config", "lab", f"unix://{tmp_path}/lab.sock")
    (tmp_path / "config" / "config.json").write_text(
        json.dumps({"currentContext": "lab"} if chosen_by == "file" else {})
    )
    if chosen_by == "variable":
        monkeypatch.setenv("DOCKER_CONTEXT", "lab")

    assert f"{tmp_path}/lab.sock doesn't exist" in refused().message

    use(monkeypatch, tmp_path / "mine.sock")

    assert f"{tmp_path}/mine.sock doesn't exist" in refused().message


def test_a_context_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_CONTEXT", "gone")
    error = refused()

    assert error.message == "there is no Docker context gone"
    assert error.hint == "see: docker context ls"


def test_a_damaged_context_is_no_traceback(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    context(tmp_path / "config", "lab", "unix:///x")
    (tmp_path / "config" / "config.json").write_text("{}")
    next((tmp_path / "config").rglob("meta.json")).write_text("{")
    monkeypatch.setenv("DOCKER_CONTEXT", "lab")

    assert refused().message.startswith("the current Docker context can't be read")


def test_a_rootless_engine_is_tried_where_there_is_no_other(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    abandoned(tmp_path / "docker.sock")
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))

    assert f"nobody listens on {tmp_path}/docker.sock" in refused().message


class _Answers(BaseHTTPRequestHandler):
    """What engines say that aren't to be had on every machine."""

    server: "_StandIn"

    def do_GET(self) -> None:
        body = json.dumps(self.server.said[self.path.rpartition("/")[2]]).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def address_string(self) -> str:
        return "test"

    def log_message(self, format: str, *arguments: object) -> None:
        pass


class _StandIn(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True
    said: dict[str, Any]


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[dict[str, Any]]:
    """An engine that answers `version` and `info` with what stands in the dictionary."""
    path = tmp_path / "stand-in.sock"
    with _StandIn(str(path), _Answers) as server:
        server.said = {"version": {"ApiVersion": "1.44", "Os": "linux"}, "info": {"Architecture": "x86_64"}}
        threading.Thread(target=server.serve_forever, args=[0.01], daemon=True).start()
        use(monkeypatch, path)
        yield server.said
        server.shutdown()


def test_windows_containers_are_refused(stand_in: dict[str, Any]) -> None:
    stand_in["version"]["Os"] = "windows"
    error = refused()

    assert "windows containers" in error.message
    assert "Linux containers" in str(error.hint)


def test_what_answers_but_is_no_engine_is_named(stand_in: dict[str, Any]) -> None:
    stand_in["version"] = {}
    with pytest.raises(OrchestrateError) as raised:
        connect()

    assert "asking the Docker engine at unix://" in raised.value.message


@pytest.mark.parametrize(
    ("said", "rootless", "desktop", "shares_network"),
    [
        ({"SecurityOptions": ["name=seccomp,profile=default"]}, False, False, True),
        ({"SecurityOptions": ["name=seccomp,profile=default", "name=rootless"]}, True, False, False),
        ({"OperatingSystem": "Docker Desktop", "SecurityOptions": None}, False, True, False),
    ],
)
def test_the_kind_of_engine_is_told(
    stand_in: dict[str, Any], said: dict[str, Any], rootless: bool, desktop: bool, shares_network: bool
) -> None:
    stand_in["info"] = {
        "ServerVersion": "29.1.0",
        "NCPU": 8,
        "MemTotal": 2**34,
        "Architecture": "aarch64",
        "CgroupVersion": "2",
        **said,
    }
    found = facts(connect())

    assert (found.version, found.cpus, found.memory, found.arch, found.cgroup) == ("29.1.0", 8, 2**34, "arm64", "2")
    assert (found.rootless, found.desktop, found.shares_network) == (rootless, desktop, shares_network)
    assert found.runs("arm64")
    assert not found.runs("unknown")
    if desktop:
        assert found.runs("x86_64")


ARM64_MAGIC = "7f454c460201010000000000000000000200b700"


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        (f"enabled\ninterpreter /usr/bin/qemu-aarch64-static\nflags: OCF\noffset 0\nmagic {ARM64_MAGIC}\n", {"arm64"}),
        (f"enabled\ninterpreter /usr/bin/qemu-aarch64-static\nflags: OC\noffset 0\nmagic {ARM64_MAGIC}\n", set()),
        (f"enabled\ninterpreter /usr/bin/qemu-aarch64-static\nflags: \noffset 0\nmagic {ARM64_MAGIC}\n", set()),
        (f"disabled\ninterpreter /usr/bin/qemu-aarch64-static\nflags: OCF\noffset 0\nmagic {ARM64_MAGIC}\n", set()),
        ("enabled\ninterpreter /usr/bin/python3\nflags: F\nextension .py\n", set()),
        ("enabled\n", set()),
    ],
)
def test_an_architecture_is_emulated_if_containers_have_the_emulator_too(
    tmp_path: Path, entry: str, expected: set[str]
) -> None:
    (tmp_path / "status").write_text("enabled\n")
    (tmp_path / "qemu-aarch64").write_text(entry)
    (tmp_path / "register").mkdir()  # what can't be read

    assert emulated(tmp_path) == expected


def test_without_binfmt_nothing_is_emulated(tmp_path: Path) -> None:
    assert emulated(tmp_path / "nowhere") == frozenset()


def test_platforms_are_spelt_as_docker_does() -> None:
    assert [platform_of("x86_64"), platform_of("arm64"), platform_of("unknown")] == ["linux/amd64", "linux/arm64", None]


def said(words: str, kind: type[APIError] = APIError) -> APIError:
    return kind("500 Server Error", explanation=words)


FAULTS = {
    "disk": (said("write /data/layer.tar: no space left on device"), 3, "disk is full", "docker system df"),
    "disk while building": (BuildError("copy: no space left on device", iter(())), 3, "disk is full", "prune"),
    "port": (
        said(
            "driver failed programming external connectivity: Bind for 127.0.0.1:80 failed: port is already allocated"
        ),
        3,
        "a port or address is in use",
        "ss -ltnp",
    ),
    "address": (said("listen tcp4 127.0.0.1:80: bind: address already in use"), 3, "is in use", "docker ps"),
    "pools": (said("all predefined address pools have been fully subnetted"), 3, "address range", "network prune"),
    "cpus": (said("Range of CPUs is from 0.01 to 2.00, as there are only 2 CPUs available"), 3, "fewer CPUs", "fewer"),
    "image": (said("No such image: nothing:1", ImageNotFound), 3, "the image doesn't exist", "docker pull"),
    "registry": (said("pull access denied for nothing"), 3, "the image doesn't exist", "docker pull"),
    "foreign": (said("exec /bin/sh: exec format error"), 3, "architecture", "qemu"),
    "cgroup": (said("mkdir /sys/fs/cgroup/cpu/docker: no space left on device"), 3, "can't limit CPU", "docker info"),
    "permission": (
        requests.ConnectionError("aborted", PermissionError(13, "Permission denied")),
        3,
        "permission",
        "may",
    ),
    "access": (
        said("permission denied while trying to connect to the Docker daemon socket"),
        3,
        "this user may not use",
        "usermod",
    ),
    "down": (said("Cannot connect to the Docker daemon at unix:///x.sock."), 3, "doesn't run", "systemctl start"),
    "gone": (
        requests.ConnectionError("('Connection aborted.', RemoteDisconnected())"),
        3,
        "doesn't answer",
        "docker info",
    ),
    "gone, low": (urllib3.exceptions.ProtocolError("Connection broken: IncompleteRead"), 3, "doesn't answer", "docker"),
    "gone in a stream": (StreamParseError("Expecting value"), 3, "doesn't answer", "docker info"),
    "slow": (requests.ReadTimeout("Read timed out. (read timeout=60)"), 3, "doesn't answer", "docker info"),
    "slow at first": (
        DockerException("Error while fetching server API version: Read timed out."),
        3,
        "answer",
        "docker",
    ),
    "pipe": (BrokenPipeError(32, "Broken pipe"), 3, "doesn't answer", "docker info"),
    "container": (said("No such container: n1", NotFound), 1, "No such container: n1", "docker ps"),
    "anything": (said("Conflict. The name is already in use by container 1"), 1, "Conflict", "docker ps"),
}


@pytest.mark.parametrize(("error", "exit_code", "words", "hint"), FAULTS.values(), ids=FAULTS.keys())
def test_a_fault_is_one_line_with_a_hint(error: Exception, exit_code: int, words: str, hint: str) -> None:
    with pytest.raises(OrchestrateError) as raised, explain("starting node n1"):
        raise error

    assert raised.value.exit_code == exit_code
    assert isinstance(raised.value, MissingPrerequisite if exit_code == 3 else ClusterFailed)
    assert raised.value.message.startswith("starting node n1: ")
    assert words in raised.value.message
    assert hint in str(raised.value.hint)


def test_a_long_speech_is_cut_to_its_first_line() -> None:
    with pytest.raises(ClusterFailed) as raised, explain("x"):
        raise said("first " + "a" * 1000 + "\nsecond")

    assert len(raised.value.message) < 320
    assert "second" not in raised.value.message


def test_what_is_none_of_the_engines_faults_passes() -> None:
    with pytest.raises(KeyError), explain("x"):
        raise KeyError("ours")
    with pytest.raises(FileNotFoundError), explain("x"):
        raise FileNotFoundError(2, "ours")
