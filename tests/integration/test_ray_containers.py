"""Ray in containers: nodes join over a bridge, and each tells how busy itself is, not the host."""

from collections.abc import Callable, Iterator

import pytest

from tests.integration.engine import Engine
from tests.integration.ray_cluster import RayCluster, ray_cluster, wait_for
from tests.integration.ray_images import OFFICIAL

RAYLET_TIMEOUT_S = 30.0  # Ray waits no longer for a raylet to register

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


@pytest.fixture(scope="module")
def cluster(ray_engine: Engine) -> Iterator[RayCluster]:
    with ray_cluster(ray_engine) as started:
        started.start_head(OFFICIAL)
        for worker in ("busy", "quiet"):
            started.start_worker(worker, OFFICIAL)
        yield started


def test_workers_join_in_time_and_a_task_runs_on_the_one_that_it_asks_for(
    cluster: RayCluster, record_property: Callable[[str, object], None]
) -> None:
    record_property("seconds_to_join", cluster.seconds_to_join)

    assert cluster.on_head(ON_BUSY, "0") == {"host": "busy", "ip": cluster.address("busy")}
    assert len({cluster.address(name) for name in cluster.nodes}) == 3
    assert max(cluster.seconds_to_join[name] for name in ("busy", "quiet")) < RAYLET_TIMEOUT_S


def test_cpu_utilisation_is_the_containers_own(cluster: RayCluster) -> None:
    wait_for(lambda: all(0 <= cluster.cpu_utilisation(name) < 10 for name in ("busy", "quiet")), "idle workers")
    cluster.nodes["head"].exec_run(["python", "-c", ON_BUSY, "600"], detach=True)
    wait_for(lambda: cluster.cpu_utilisation("busy") > 85, "busy worker")

    assert 0 <= cluster.cpu_utilisation("quiet") < 10
