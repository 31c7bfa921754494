"""A cluster of two architectures, one of them emulated by qemu where the machine has another."""

from tests.integration.arm64 import MixedEngine
from tests.integration.ray_cluster import ray_cluster

WHERE = """
import json, platform, ray

@ray.remote(num_cpus=1)
def machine():
    return platform.machine()

ray.init("auto", log_to_driver=False)
asked = [machine.options(resources={name: 1}).remote() for name in ("intel", "graviton")]
print(json.dumps(ray.get(asked)))
"""


def test_an_arm64_worker_joins_an_x86_64_head_and_runs_tasks(mixed_engine: MixedEngine) -> None:
    with ray_cluster(mixed_engine.engine) as cluster:
        cluster.start_head(mixed_engine.x86_64)
        cluster.start_worker("intel", mixed_engine.x86_64, platform="linux/amd64")
        # No limit: Ray gives the raylet 30 s to register, of which an emulated one needs more than half.
        cluster.start_worker("graviton", mixed_engine.arm64, platform="linux/arm64", cpu_limit=None)

        assert cluster.on_head(WHERE) == ["x86_64", "aarch64"]
