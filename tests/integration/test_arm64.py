"""A sweep on a cluster of two architectures, one of them emulated by qemu where the machine has another."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.arm64_engine import MixedEngine
from tests.support.docker_sweeps import ARM, X86, assert_nothing_is_left, containers, events, in_docker, options
from tests.support.orchestrate_command import Orchestrate

pytestmark = pytest.mark.alone

START_TIMEOUT_S = 400.0
SWEEP_TIMEOUT_S = 400.0

WHERE = """
import json, platform, ray

@ray.remote(num_cpus=0)
def machine():
    return platform.machine()

ray.init("auto", log_to_driver=False)
asked = [machine.options(resources={name: 0.1}).remote() for name in ("Intel", "Graviton")]
print(json.dumps(ray.get(asked)))
"""


@pytest.fixture
def lab(mixed_engine: MixedEngine, tmp_path: Path) -> Iterator[Orchestrate]:
    """A home of its own; whatever a failing test leaves in the engine is removed."""
    command = in_docker(mixed_engine.engine, tmp_path / "home")
    yield command
    command("clean", "--force")


def machines(mixed: MixedEngine, home: Path) -> list[str]:
    """What tasks that ask for Intel and Graviton say of the machine that they run on."""
    head = containers(mixed.engine, home)["head_node"]
    python = head.attrs["Config"]["Entrypoint"][0]
    result = head.exec_run([python, "-c", WHERE], stderr=False)
    assert isinstance(result.output, bytes)
    assert result.exit_code == 0, result.output.decode()
    return list(json.loads(result.output.splitlines()[-1]))


def test_a_sweep_launches_an_arm64_worker_beside_x86_64_ones_and_runs_tasks_on_it(
    lab: Orchestrate, mixed_engine: MixedEngine, tmp_path: Path
) -> None:
    mixed = {
        "m8g.2xlarge, memory: 2g": f"m8g.2xlarge, memory: 2g, image: '{mixed_engine.arm64}'",
        "Graviton: 1}\n    min_workers: 1": "Graviton: 1}\n    min_workers: 0",
        "max_workers: 8": "max_workers: 1",
    }
    sweep = lab.start(
        *options(tmp_path, **mixed),
        *("--image", mixed_engine.x86_64, "--upscaling-speed", "1", "--metrics-port", "0"),
        *("--tasks", "2", "--task-seconds", "40", "--task-resources", "Graviton=0.5"),
    )

    def joined() -> bool:
        return {event["node_type"] for event in lab.trace() if event.get("state") == "running"} >= {X86, ARM}

    lab.wait_for(joined, sweep, "node of each type", START_TIMEOUT_S)
    found = machines(mixed_engine, lab.home)
    code = sweep.wait(SWEEP_TIMEOUT_S)
    tasks = events(lab.home, "task")

    assert found == ["x86_64", "aarch64"]
    assert code == 0, lab.output()
    assert f"{ARM} runs on an emulated arm64" in lab.output()
    assert {(task["node_type"], task["arch"], task["ok"]) for task in tasks} == {(ARM, "arm64", True)}
    assert sum(task["count"] for task in tasks) == 2
    assert_nothing_is_left(mixed_engine.engine, lab.home)
