"""Ray in containers: nodes join over a bridge, and each tells how busy itself is, not the host."""

import contextlib
import json
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
import requests

from tests.integration.engine import Engine
from tests.integration.ray_images import OFFICIAL

if TYPE_CHECKING:
    from docker import DockerClient
    from docker.models.containers import Container

METRICS_PORT = 8080
WAIT_S = 60.0
RAYLET_TIMEOUT_S = 30.0  # Ray waits no longer for a raylet to register
OPTIONS = [
    f"--metrics-export-port={METRICS_PORT}",
    "--disable-usage-stats",
    "--object-store-memory=80000000",
    "--block",
]

JOINED = """
import json
from ray.autoscaler.v2.sdk import get_cluster_status
status = get_cluster_status("127.0.0.1:6379")
print(json.dumps([node.instance_id for node in status.active_nodes + status.idle_nodes]))
"""

ON_BUSY = """
import json, socket, sys, time, ray

@ray.remote(num_cpus=1, resources={"busy": 1})
def spin(seconds):
    end = time.time() + seconds
    while time.time() < end:
        pass
    return {"host": socket.gethostname(), "ip": ray.util.get_node_ip_address()}

ray.init("auto", log_to_driver=False)
print(json.dumps(ray.get(spin.remote(float(sys.argv[1])))))
"""


@dataclass
class Cluster:
    """A head and two workers of one CPU each, by their names; `busy` has the resource of that name."""

    nodes: "dict[str, Container]"
    seconds_to_join: dict[str, float]

    def address(self, name: str) -> str:
        """The container's own."""
        self.nodes[name].reload()
        networks = self.nodes[name].attrs["NetworkSettings"]["Networks"]
        return str(next(iter(networks.values()))["IPAddress"])

    def on_head(self, program: str, *arguments: str) -> Any:
        """What a Python program on the head prints last, as JSON; nothing while it fails."""
        result = self.nodes["head"].exec_run(["python", "-c", program, *arguments], demux=True)
        output: tuple[bytes | None, bytes | None] = result.output  # type: ignore[assignment]
        return json.loads((output[0] or b"null").splitlines()[-1]) if result.exit_code == 0 else None

    def cpu_utilisation(self, name: str) -> float:
        """Percent, as the node's own metrics say; -1 before there are any."""
        from prometheus_client.parser import text_string_to_metric_families

        try:
            text = requests.get(f"http://{self.address(name)}:{METRICS_PORT}/metrics", timeout=5).text
        except requests.ConnectionError:
            return -1.0
        families = text_string_to_metric_families(text)
        samples = [sample for family in families for sample in family.samples]
        return next((sample.value for sample in samples if sample.name == "ray_node_cpu_utilization"), -1.0)


def wait_for(seen: Callable[[], bool], what: str) -> float:
    """The seconds until something is seen."""
    began = time.monotonic()
    while not seen():
        assert time.monotonic() - began < WAIT_S, f"no {what} within {WAIT_S} s"
        time.sleep(0.2)
    return time.monotonic() - began


@pytest.fixture(scope="module")
def cluster(ray_engine: Engine) -> Iterator[Cluster]:
    with contextlib.closing(ray_engine.client()) as client:
        network = client.networks.create(f"test-{uuid.uuid4().hex[:8]}")
        made = Cluster({}, {})
        try:
            _start(client, str(network.name), made, "head", "--head", "--num-cpus=0")
            for worker in ("busy", "quiet"):
                resources = json.dumps({worker: 1})
                _start(client, str(network.name), made, worker, "--address=head:6379", f"--resources={resources}")
            yield made
        finally:
            for container in made.nodes.values():
                container.remove(force=True, v=True)
            network.remove()


def _start(client: "DockerClient", network: str, cluster: Cluster, name: str, *arguments: str) -> None:
    """Add a node, and wait until the cluster has it."""
    cluster.nodes[name] = client.containers.run(
        OFFICIAL,
        ["ray", "start", "--block", *arguments, *OPTIONS],
        name=f"ray-test-{name}",
        hostname=name,
        network=network,
        nano_cpus=1_000_000_000,
        mem_limit="2g",
        shm_size="128m",
        init=True,
        detach=True,
        environment={
            # Any value: with it the CPU utilisation is that of the container's cgroup, without it that of the host.
            "KUBERNETES_SERVICE_HOST": "unused",
            "RAY_CLOUD_INSTANCE_ID": name,
            "RAY_metrics_report_interval_ms": "2000",
        },
    )
    cluster.seconds_to_join[name] = wait_for(lambda: name in (cluster.on_head(JOINED) or ()), f"node {name}")


def test_workers_join_in_time_and_a_task_runs_on_the_one_that_it_asks_for(
    cluster: Cluster, record_property: Callable[[str, object], None]
) -> None:
    record_property("seconds_to_join", cluster.seconds_to_join)
    print(f"seconds to join: {cluster.seconds_to_join}")

    assert cluster.on_head(ON_BUSY, "0") == {"host": "busy", "ip": cluster.address("busy")}
    assert len({cluster.address(name) for name in cluster.nodes}) == 3
    assert max(cluster.seconds_to_join[name] for name in ("busy", "quiet")) < RAYLET_TIMEOUT_S


def test_cpu_utilisation_is_the_containers_own(cluster: Cluster) -> None:
    wait_for(lambda: all(0 <= cluster.cpu_utilisation(name) < 10 for name in ("busy", "quiet")), "idle workers")
    cluster.nodes["head"].exec_run(["python", "-c", ON_BUSY, "600"], detach=True)
    wait_for(lambda: cluster.cpu_utilisation("busy") > 85, "busy worker")

    assert 0 <= cluster.cpu_utilisation("quiet") < 10
