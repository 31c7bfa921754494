"""A Ray cluster of containers on one bridge, started by hand: what any backend does, without one."""

import json
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import requests

from tests.integration.engine import Engine

if TYPE_CHECKING:
    from docker import DockerClient
    from docker.models.containers import Container

METRICS_PORT = 8080
WAIT_S = 90.0
OPTIONS = [f"--metrics-export-port={METRICS_PORT}", "--disable-usage-stats", "--object-store-memory=80000000"]
# A raylet that isn't told its agents' ports waits 15 s for theirs, then aborts: too short for emulated agents.
OPTIONS += ["--dashboard-agent-listen-port=52365", "--dashboard-agent-grpc-port=52366"]
OPTIONS += ["--runtime-env-agent-port=52367"]

JOINED = """
import json
from ray.autoscaler.v2.sdk import get_cluster_status
status = get_cluster_status("127.0.0.1:6379")
print(json.dumps([node.instance_id for node in status.active_nodes + status.idle_nodes]))
"""


@dataclass
class RayCluster:
    """Nodes by their names, which are their host names too; seconds from each node's start until it was alive."""

    client: "DockerClient"
    network: str
    nodes: "dict[str, Container]" = field(default_factory=dict)
    seconds_to_join: dict[str, float] = field(default_factory=dict)

    def start_head(self, image: str) -> None:
        """The head takes no tasks."""
        self._start("head", image, "--head", "--num-cpus=0")

    def start_worker(
        self, name: str, image: str, *, platform: str | None = None, cpu_limit: float | None = 1.0
    ) -> None:
        """A worker for one task at a time, with a resource by its name."""
        arguments = ["--address=head:6379", "--num-cpus=1", f"--resources={json.dumps({name: 1})}"]
        self._start(name, image, *arguments, platform=platform, cpu_limit=cpu_limit)

    def _start(
        self, name: str, image: str, *arguments: str, platform: str | None = None, cpu_limit: float | None = 1.0
    ) -> None:
        self.nodes[name] = self.client.containers.run(
            image,
            ["ray", "start", "--block", *arguments, *OPTIONS],
            platform=platform,
            hostname=name,
            name=f"{self.network}-{name}",
            networking_config={self.network: self.client.api.create_endpoint_config(aliases=[name])},
            network=self.network,
            nano_cpus=None if cpu_limit is None else int(cpu_limit * 1e9),
            mem_limit="2g",
            shm_size="128m",
            init=True,
            detach=True,
            environment={
                # Any value: with it CPU utilisation is that of the container's cgroup, without it that of the host.
                "KUBERNETES_SERVICE_HOST": "unused",
                "RAY_CLOUD_INSTANCE_ID": name,
                "RAY_metrics_report_interval_ms": "2000",
            },
        )
        self.seconds_to_join[name] = wait_for(lambda: self._joined(name), f"node {name}")

    def _joined(self, name: str) -> bool:
        self.nodes[name].reload()
        assert self.nodes[name].status == "running", self.nodes[name].logs(tail=40).decode()
        return name in (self.on_head(JOINED) or ())

    def address(self, name: str) -> str:
        """The container's own."""
        self.nodes[name].reload()
        return str(self.nodes[name].attrs["NetworkSettings"]["Networks"][self.network]["IPAddress"])

    def on_head(self, program: str, *arguments: str) -> Any:
        """What a Python program on the head prints last, as JSON; nothing while it fails."""
        result = self.nodes["head"].exec_run(["python", "-c", program, *arguments], stderr=False)
        assert isinstance(result.output, bytes)
        return json.loads(result.output.splitlines()[-1]) if result.exit_code == 0 else None

    def cpu_utilisation(self, name: str) -> float:
        """Percent, as the node's own metrics say; -1 before there are any."""
        from prometheus_client.parser import text_string_to_metric_families

        try:
            text = requests.get(f"http://{self.address(name)}:{METRICS_PORT}/metrics", timeout=5).text
        except requests.ConnectionError:
            return -1.0
        samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
        return next((sample.value for sample in samples if sample.name == "ray_node_cpu_utilization"), -1.0)


@contextmanager
def ray_cluster(engine: Engine) -> Iterator[RayCluster]:
    """No node yet; all are removed, with their network, when the block ends."""
    with closing(engine.client()) as client:
        network = client.networks.create(f"test-{uuid.uuid4().hex[:8]}")
        assert network.name is not None
        cluster = RayCluster(client, network.name)
        try:
            yield cluster
        finally:
            for container in client.containers.list(all=True, filters={"network": network.name}):
                container.remove(force=True, v=True)
            network.remove()


def wait_for(seen: Callable[[], bool], what: str) -> float:
    """The seconds until something is seen."""
    began = time.monotonic()
    while not seen():
        assert time.monotonic() - began < WAIT_S, f"no {what} within {WAIT_S} s"
        time.sleep(0.2)
    return time.monotonic() - began
