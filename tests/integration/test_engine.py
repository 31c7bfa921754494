"""What the docker backend takes for granted of an engine, and of its network."""

import contextlib
import queue
import threading
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import requests

from tests.integration.cuttable import cuttable
from tests.integration.engine import Engine
from tests.integration.ray_images import (
    OFFICIAL,
    OTHER_PYTHON,
    OTHER_PYTHON_VERSION,
    OTHER_RAY,
    OTHER_RAY_VERSION,
    RAY_VERSION,
)

if TYPE_CHECKING:
    from docker import DockerClient
    from docker.models.containers import Container

SUBNET = "10.213.71.0/24"
SERVE = ["python", "-m", "http.server", "--directory", "/etc", "8000"]
ASK = "import sys, urllib.request as r; print(r.urlopen(sys.argv[1], timeout=3).status)"
WAIT_S = 30


@pytest.fixture
def client(ray_engine: Engine) -> "Iterator[DockerClient]":
    with contextlib.closing(ray_engine.client()) as opened:
        yield opened


@pytest.fixture
def network(client: "DockerClient") -> Iterator[str]:
    """A network of its own; whatever is on it is removed with it."""
    from docker.types import IPAMConfig, IPAMPool

    made = client.networks.create(f"test-{uuid.uuid4().hex[:8]}", ipam=IPAMConfig(pool_configs=[IPAMPool(SUBNET)]))
    assert made.name is not None
    yield made.name
    for container in client.containers.list(all=True, filters={"network": made.name}):
        container.remove(force=True)
    made.remove()


def address(container: "Container", network: str) -> str:
    container.reload()
    return str(container.attrs["NetworkSettings"]["Networks"][network]["IPAddress"])


def said(container: "Container", program: str, *arguments: str) -> str:
    """What a Python program prints within a container."""
    result = container.exec_run(["python", "-c", program, *arguments])
    assert isinstance(result.output, bytes)
    assert result.exit_code == 0, result.output.decode()
    return result.output.decode()


def eventually(url: str) -> requests.Response:
    """The answer, once somebody listens."""
    import tenacity

    retrying = tenacity.Retrying(
        retry=tenacity.retry_if_exception_type(requests.RequestException),
        stop=tenacity.stop_after_delay(WAIT_S),
        wait=tenacity.wait_fixed(0.1),
        reraise=True,
    )
    answer: requests.Response = retrying(requests.get, url, timeout=3)
    return answer


def test_containers_reach_each_other_and_the_host_reaches_them(client: "DockerClient", network: str) -> None:
    server = client.containers.run(
        OFFICIAL, SERVE, name="engine-test-server", network=network, ports={"8000": ("127.0.0.1", 0)}, detach=True
    )
    asking = client.containers.run(OFFICIAL, ["sleep", "600"], network=network, init=True, detach=True)
    at = address(server, network)
    published = server.attrs["NetworkSettings"]["Ports"]["8000/tcp"]

    assert at.startswith("10.213.71.")
    assert [port["HostIp"] for port in published] == ["127.0.0.1"]
    assert eventually(f"http://{at}:8000/passwd").ok
    assert eventually(f"http://127.0.0.1:{published[0]['HostPort']}/passwd").ok
    for host in (at, "engine-test-server"):
        assert said(asking, ASK, f"http://{host}:8000/passwd") == "200\n"


def test_a_network_is_cut_and_comes_back_with_the_same_address(client: "DockerClient", network: str) -> None:
    server = client.containers.run(OFFICIAL, SERVE, network=network, detach=True)
    before = address(server, network)
    eventually(f"http://{before}:8000/passwd")
    client.networks.get(network).disconnect(server)
    with pytest.raises(requests.ConnectionError):
        requests.get(f"http://{before}:8000/passwd", timeout=1)
    client.networks.get(network).connect(server, ipv4_address=before)

    assert address(server, network) == before
    assert eventually(f"http://{before}:8000/passwd").ok


def test_a_paused_container_answers_again_when_it_goes_on(client: "DockerClient", network: str) -> None:
    server = client.containers.run(OFFICIAL, SERVE, network=network, detach=True)
    url = f"http://{address(server, network)}:8000/passwd"
    eventually(url)
    server.pause()
    with pytest.raises(requests.Timeout):
        requests.get(url, timeout=1)
    server.unpause()

    assert requests.get(url, timeout=WAIT_S).ok


def test_limits_hold(client: "DockerClient", network: str) -> None:
    container = client.containers.run(
        OFFICIAL,
        ["sleep", "600"],
        network=network,
        init=True,
        detach=True,
        nano_cpus=500_000_000,
        mem_limit="96m",
        memswap_limit="96m",
        shm_size="80m",
    )
    spin = "import time; end = time.time() + 2\nwhile time.time() < end: pass\nprint(time.process_time())"
    used = float(said(container, spin))
    eaten = container.exec_run(["python", "-c", "bytearray(200_000_000)"])
    shared = int(said(container, "import shutil; print(shutil.disk_usage('/dev/shm').total)"))

    assert 0.2 < used < 1.4
    assert eaten.exit_code == 137
    assert shared == 80 * 2**20


def test_events_tell_how_a_container_died(client: "DockerClient", network: str) -> None:
    seen: queue.Queue[dict[str, Any]] = queue.Queue()
    events = client.events(decode=True, filters={"type": "container", "label": "engine-test"})

    def read() -> None:
        for event in events:
            seen.put(event)

    reader = threading.Thread(target=read)
    reader.start()
    try:
        container = client.containers.run(
            OFFICIAL, ["sleep", "600"], network=network, labels=["engine-test"], detach=True
        )
        container.kill()
        told = [seen.get(timeout=WAIT_S) for _ in range(4)]
    finally:
        events.close()
        reader.join()

    assert [event["Action"] for event in told] == ["create", "start", "kill", "die"]
    assert told[-1]["Actor"]["Attributes"]["exitCode"] == "137"


def test_a_connection_that_is_cut_ends_and_none_is_taken_until_it_is_mended(ray_engine: Engine, tmp_path: Path) -> None:
    ended = threading.Event()

    def read(stream: Any) -> None:
        with contextlib.suppress(Exception):  # the SDK raises, or the stream just ends
            for _ in stream:
                pass
        ended.set()

    with (
        cuttable(tmp_path / "docker.sock", ray_engine.environment["DOCKER_HOST"]) as proxy,
        contextlib.closing(ray_engine.client(proxy.url)) as client,
    ):
        stream = client.events()
        threading.Thread(target=read, args=[stream], daemon=True).start()
        assert client.ping()
        assert not ended.is_set()

        proxy.cut()
        assert ended.wait(WAIT_S)
        with pytest.raises(requests.ConnectionError):
            client.ping()
        assert proxy.connections() == 0

        proxy.mend()
        assert client.ping()


VERSIONS = "import importlib.metadata, platform; print(importlib.metadata.version('ray'), platform.python_version())"


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        (OFFICIAL, lambda python: (RAY_VERSION, python)),
        (OTHER_RAY, lambda python: (OTHER_RAY_VERSION, python)),
        (OTHER_PYTHON, lambda python: (RAY_VERSION, OTHER_PYTHON_VERSION)),
    ],
)
@pytest.mark.parametrize("user", [None, "54321:54321"])
def test_images_say_their_versions_to_any_user(
    client: "DockerClient", image: str, user: str | None, expected: Callable[[str], tuple[str, str]]
) -> None:
    import platform

    said = client.containers.run(image, ["python", "-c", VERSIONS], user=user, network_mode="none", remove=True)

    assert tuple(said.decode().split()) == expected(platform.python_version())
