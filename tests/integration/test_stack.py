"""`orchestrate stack` on a real Docker engine, with images that stand in for those of the registry."""

import encodings.idna  # noqa: F401  Names are resolved while acting as a user to whom the standard library is closed.
import http.server
import json
import os
import shutil
import stat
import tempfile
import threading
import time
import urllib.parse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from orchestrator.errors import OrchestrateError
from orchestrator.stack import stack as stack_module
from orchestrator.stack.compose import Result, run_docker
from orchestrator.stack.probes import dashboard_uids, fetch, is_taken
from orchestrator.stack.state import Ports
from tests.support.docker_engine import Engine, image_names
from tests.support.grafana_http import nobody_listens
from tests.support.orchestrate_command import Orchestrate
from tests.support.requirements import free_port

ROOT = Path(__file__).parents[2]
EXPORTER_PORT = 9477
SCRAPE_TIMEOUT_S = 60.0


class Exporter(http.server.BaseHTTPRequestHandler):
    """Serves what the observer serves: metrics, and the service discovery of a cluster without nodes."""

    def do_GET(self) -> None:
        content = {"/metrics": (b"stack_test 42\n", "text/plain"), "/sd": (b"[]", "application/json")}
        body, kind = content.get(self.path, (b"", "text/plain"))
        self.send_response(200 if body else 404)
        self.send_header("Content-Type", kind)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None:
        pass


@pytest.fixture
def exporter() -> Iterator[None]:
    """The observer's exporter, where it is by default: loopback of the host, and nowhere else."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", EXPORTER_PORT), Exporter)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield
    server.shutdown()
    thread.join()
    server.server_close()


class Stack:
    """`orchestrate stack` of one home, on ports of its own."""

    def __init__(self, home: Path, engine: Engine, ports: tuple[int, int]) -> None:
        self.command = Orchestrate(home, dict(engine.environment))
        self.home = home
        self.prometheus, self.grafana = (f"http://127.0.0.1:{port}" for port in ports)
        self.ports = ports

    def up(self, *more: str) -> str:
        """What a successful `up` prints, both streams."""
        prometheus, grafana = map(str, self.ports)
        result = self.command("stack", "up", "--prometheus-port", prometheus, "--grafana-port", grafana, *more)
        assert result.returncode == 0, result.stderr
        return result.stdout + result.stderr

    @property
    def password_file(self) -> Path:
        return self.home / "stack" / "grafana-admin-password"

    def value(self, query: str) -> float:
        """What Prometheus answers once it has an answer."""
        url = f"{self.prometheus}/api/v1/query?query={urllib.parse.quote(query)}"
        deadline = time.monotonic() + SCRAPE_TIMEOUT_S
        while not (found := json.loads(fetch(url)[1])["data"]["result"]):
            assert time.monotonic() < deadline, f"no sample of {query}"
            time.sleep(0.5)
        return float(found[0]["value"][1])

    def dashboards(self) -> set[str]:
        """Those that Grafana shows to the holder of the password."""
        status, body = fetch(f"{self.grafana}/api/search", self.password_file.read_text())
        assert status == 200
        return {found["uid"] for found in json.loads(body)}


@pytest.fixture
def proxy(engine: Engine) -> Iterator[None]:
    """One that refuses every connection, which the Docker client hands to each container as many a company's does."""
    config = Path(engine.environment["DOCKER_CONFIG"]) / "config.json"
    with nobody_listens() as url:
        config.write_text(json.dumps({"proxies": {"default": {"httpProxy": url, "noProxy": "127.0.0.1"}}}))
        yield
    config.unlink()


@pytest.fixture
def stack(engine: Engine, proxy: None, tmp_path: Path) -> Iterator[Stack]:
    """Not started; whatever a failing test leaves is removed."""
    made = Stack(tmp_path / "it's a home", engine, (free_port(), free_port()))
    yield made
    made.command("stack", "down", "--volumes")


def listening(ports: tuple[int, int]) -> set[tuple[str, int]]:
    """Addresses on which anybody listens on these ports."""
    connections = psutil.net_connections(kind="inet")
    found = {(at.laddr.ip, at.laddr.port) for at in connections if at.status == "LISTEN" and at.laddr}
    return {(ip, port) for ip, port in found if port in ports}


def test_the_stack_comes_up_healthy_and_scrapes_the_host_and_goes_down_again(
    engine: Engine, stack: Stack, exporter: None
) -> None:
    networks = engine.listed("network")
    said = stack.up()

    assert stack.prometheus in said
    assert stack.grafana in said
    assert str(stack.password_file) in said
    state = stack.command.json("stack", "status")
    assert (state["running"], state["healthy"]) == (True, True)
    assert [service["url"] for service in state["services"]] == [stack.prometheus, stack.grafana]
    assert stack.dashboards() == dashboard_uids(ROOT / "grafana" / "dashboards")
    assert stack.value("stack_test") == 42
    assert stack.value('up{job="orchestrator"}') == 1
    assert stack.value('up{job="prometheus"}') == 1
    assert listening(stack.ports) == {("127.0.0.1", port) for port in stack.ports}

    password = stack.password_file.read_text()
    containers = engine.docker("container", "ls", "--quiet").split()
    assert stat.S_IMODE(stack.password_file.stat().st_mode) == 0o640
    assert stat.S_IMODE(stack.password_file.parent.stat().st_mode) == 0o700
    assert password not in said
    assert password not in engine.docker("inspect", *containers)
    assert password not in " ".join(
        " ".join(process.info["cmdline"] or ()) for process in psutil.process_iter(["cmdline"])
    )

    stack.up()
    assert engine.docker("container", "ls", "--quiet").split() == containers
    assert stack.password_file.read_text() == password

    assert stack.command("stack", "down").returncode == 0
    assert engine.listed("container") == set()
    assert engine.listed("network") == networks
    assert engine.listed("volume") == {"orchestrate_prometheus-data", "orchestrate_grafana-data"}
    assert listening(stack.ports) == set()

    assert stack.command("stack", "down", "--volumes").returncode == 0
    assert engine.listed("volume") == set()
    assert not stack.password_file.exists()
    assert [service["state"] for service in stack.command.json("stack", "status")["services"]] == ["missing", "missing"]


def test_metrics_are_there_again_after_down_and_up(stack: Stack, exporter: None) -> None:
    stack.up()
    stack.value("stack_test")
    stack.command("stack", "down")
    stack.up()

    assert stack.value("count_over_time(stack_test[10m])") >= 1


def test_another_home_gets_into_the_grafana_that_an_earlier_one_made(engine: Engine, stack: Stack) -> None:
    stack.up()
    other = Stack(stack.home.parent / "other", engine, stack.ports)
    other.up()

    assert other.password_file.read_text() != stack.password_file.read_text()
    assert other.dashboards() == dashboard_uids(ROOT / "grafana" / "dashboards")


def metrics_of(engine: Engine) -> Path:
    """Where the engine keeps what Prometheus stored."""
    name = "orchestrate_prometheus-data"
    return Path(engine.docker("volume", "inspect", name, "--format", "{{.Mountpoint}}").strip())


@contextmanager
def acting_as(uid: int, gid: int) -> Iterator[None]:
    """What this block reads and writes, it does as another user. Not the command: its Python may be root's."""
    os.setegid(gid)
    os.seteuid(uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)


def by_root(*arguments: str, **more: Any) -> Result:
    """The test's engine is root's."""
    uid, gid = os.geteuid(), os.getegid()
    os.seteuid(0)
    os.setegid(0)
    try:
        return run_docker(*arguments, **more)
    finally:
        os.setegid(gid)
        os.seteuid(uid)


@pytest.fixture
def bundle_of(engine: Engine, proxy: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[int, int], Path]]:
    """A folder of a user with the compose file and what it mounts, closed to others as with umask 027."""
    for name, value in engine.environment.items():
        monkeypatch.setenv(name, value)
    made = []

    def make(uid: int, gid: int) -> Path:
        folder = Path(tempfile.mkdtemp(dir="/tmp"))  # pytest's own folders are closed to everybody else
        made.append(folder)
        shutil.copy(ROOT / "docker-compose.yml", folder)
        for name in ("grafana", "prometheus"):
            shutil.copytree(ROOT / name, folder / name)
        for path in (folder, *folder.rglob("*")):
            os.chown(path, uid, gid)
            path.chmod(0o750 if path.is_dir() else 0o640)
        return folder

    yield make
    for folder in made:
        ours = stack_module.Stack(folder / "home", compose_file=folder / "docker-compose.yml")
        ours.down(volumes=True)
        shutil.rmtree(folder)


def test_a_user_and_root_take_turns_on_the_volumes_of_the_machine(
    engine: Engine, bundle_of: Callable[[int, int], Path]
) -> None:
    """Each in a home of their own, then root in the user's: everybody gets in, and what was stored is there."""
    ports = Ports(free_port(), free_port())
    users = [(1000, 1000), (0, 0)]
    folders = [bundle_of(*user) for user in users]
    turns = [*zip(users, folders, strict=True), ((0, 0), folders[0]), (users[0], folders[0])]
    for (uid, gid), folder in turns:
        compose = folder / "docker-compose.yml"
        with acting_as(uid, gid):
            stack = stack_module.Stack(folder / "home", docker=by_root, compose_file=compose)
            ready = stack.up(ports, timeout_s=60)
            password = ready.password_file.read_text()

        assert ready.healthy
        assert fetch(f"{ready.url('grafana')}/api/search", password)[0] == 200
        assert {path.stat().st_uid for path in metrics_of(engine).rglob("*")} == {65534}


def test_a_volume_of_another_user_is_named_and_the_hint_mends_it(
    engine: Engine, bundle_of: Callable[[int, int], Path]
) -> None:
    ports, folder = Ports(free_port(), free_port()), bundle_of(0, 0)
    stack = stack_module.Stack(folder / "home", compose_file=folder / "docker-compose.yml")
    stack.up(ports, timeout_s=60)
    stack.down()
    volume = metrics_of(engine)
    for path in (volume, *volume.rglob("*")):
        os.chown(path, 1000, 1000)

    with pytest.raises(OrchestrateError, match=r"prometheus ended at once: .*permission denied") as raised:
        stack.up(ports, timeout_s=60)
    assert raised.value.hint is not None
    command = raised.value.hint.partition("docker run ")[2].split()
    engine.docker("run", "--network", "none", *command)

    assert stack.up(ports, timeout_s=60).healthy


def test_a_taken_port_is_named_and_nothing_is_started(engine: Engine, stack: Stack) -> None:
    result = stack.command("stack", "up", "--grafana-port", str(stack.ports[1]), "--prometheus-port", "0")
    assert result.returncode == 2

    with http.server.ThreadingHTTPServer(("127.0.0.1", stack.ports[1]), Exporter):
        assert is_taken(stack.ports[1])
        ports = ["--prometheus-port", str(stack.ports[0]), "--grafana-port", str(stack.ports[1])]
        result = stack.command("stack", "up", *ports)

    assert result.returncode == 3
    assert f"error: port {stack.ports[1]} of 127.0.0.1 is taken, and Grafana needs it" in result.stderr
    assert "--grafana-port" in result.stderr
    assert engine.listed("container") == set()


def test_an_image_that_cannot_be_pulled_is_named_and_nothing_stays(engine: Engine, stack: Stack) -> None:
    tag = image_names()["grafana"]
    engine.docker("tag", tag, "kept:1")
    engine.docker("rmi", tag)
    try:
        ports = ["--prometheus-port", str(stack.ports[0]), "--grafana-port", str(stack.ports[1])]
        result = stack.command("stack", "up", *ports)
    finally:
        engine.docker("tag", "kept:1", tag)
        engine.docker("rmi", "kept:1")

    assert result.returncode == 3
    assert f"error: the image {tag} isn't here and can't be pulled: " in result.stderr
    assert f"hint: once this machine reaches the registry: docker pull {tag}" in result.stderr
    assert engine.listed("container") == set()


def test_a_daemon_that_does_not_run_is_named(stack: Stack) -> None:
    stack.command.environment["DOCKER_HOST"] = "unix:///nowhere/docker.sock"
    result = stack.command("stack", "status")

    assert result.returncode == 3
    assert result.stderr.startswith("error: the Docker engine doesn't run: ")
    assert "unix:///nowhere/docker.sock" in result.stderr


def test_the_compose_file_is_clean(engine: Engine) -> None:
    engine.docker("compose", "--file", str(ROOT / "docker-compose.yml"), "config", "--quiet")
