"""What a cluster file says of its containers: read from a good one, one line with file and key for each bad value."""

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml

from orchestrator.backends.docker.node_config import ContainerConfig, container_configs, dashboard_port
from orchestrator.errors import SpecError
from orchestrator.inputs.cluster_config import read_cluster_file

SHIPPED = Path(__file__).parents[4] / "cluster" / "docker.yaml"
RAW: dict[str, Any] = yaml.safe_load(SHIPPED.read_text())
NODE_CONFIG = "available_node_types.arm_worker_node.node_config"


def configs(folder: Path, section: Any) -> dict[str, ContainerConfig]:
    """Of the shipped file, with this `node_config` of the arm workers."""
    document = copy.deepcopy(RAW)
    document["available_node_types"]["arm_worker_node"]["node_config"] = section
    return container_configs(read_cluster_file(written(folder, document)))


def written(folder: Path, document: dict[str, Any]) -> Path:
    path = folder / "docker.yaml"
    path.write_text(yaml.safe_dump(document))
    return path


def test_the_shipped_file_is_read() -> None:
    found = container_configs(read_cluster_file(SHIPPED))

    assert {name: config.memory for name, config in found.items()} == {
        "head_node": "4g",
        "x86_worker_node": "2g",
        "arm_worker_node": "2g",
    }
    assert dashboard_port(read_cluster_file(SHIPPED)) is None


def test_everything_may_be_said(tmp_path: Path) -> None:
    section = {
        "InstanceType": "m8g.large",
        "image": "lab/ray:arm",
        "cpus": 1.5,
        "memory": "1500m",
        "shm_size": "64m",
        "environment": {"OMP_NUM_THREADS": "1"},
    }

    assert ContainerConfig(**section) == configs(tmp_path, section)["arm_worker_node"]


def test_nothing_need_be_said(tmp_path: Path) -> None:
    assert ContainerConfig() == configs(tmp_path, {})["arm_worker_node"]


SIZE = "expected a size such as 512m or 2g"


@pytest.mark.parametrize(
    ("section", "refusal"),
    [
        ({"memory": "2 GB"}, f"{NODE_CONFIG}.memory: {SIZE}"),
        ({"memory": "2"}, f"{NODE_CONFIG}.memory: {SIZE}"),
        ({"memory": "2g\n"}, f"{NODE_CONFIG}.memory: {SIZE}"),
        ({"memory": "0g"}, f"{NODE_CONFIG}.memory: {SIZE}"),
        ({"memory": "-1g"}, f"{NODE_CONFIG}.memory: {SIZE}"),
        ({"memory": 2_000_000_000}, f"{NODE_CONFIG}.memory: {SIZE}"),
        ({"memory": None}, f"{NODE_CONFIG}.memory: {SIZE}"),
        ({"memory": ["2g"]}, f"{NODE_CONFIG}.memory: {SIZE}"),
        ({"memory": True}, f"{NODE_CONFIG}.memory: use a number or a word, not yes or no"),
        ({"shm_size": ""}, f"{NODE_CONFIG}.shm_size: {SIZE}"),
        ({"cpus": 0}, f"{NODE_CONFIG}.cpus: input should be greater than or equal to 0.01"),
        ({"cpus": -1}, f"{NODE_CONFIG}.cpus: input should be greater than or equal to 0.01"),
        ({"cpus": 0.001}, f"{NODE_CONFIG}.cpus: input should be greater than or equal to 0.01"),
        ({"cpus": float("nan")}, f"{NODE_CONFIG}.cpus: input should be a finite number"),
        ({"cpus": float("inf")}, f"{NODE_CONFIG}.cpus: "),
        ({"cpus": "two"}, f"{NODE_CONFIG}.cpus: input should be a valid number"),
        ({"cpus": True}, f"{NODE_CONFIG}.cpus: use a number or a word, not yes or no"),
        ({"image": 5}, f"{NODE_CONFIG}.image: input should be a valid string"),
        ({"environment": ["A=1"]}, f"{NODE_CONFIG}.environment: input should be a valid dictionary"),
        ({"environment": {"A": 1}}, f"{NODE_CONFIG}.environment.A: input should be a valid string"),
        ({"Image": "ray"}, f"{NODE_CONFIG}.Image: unknown key"),
        ({"mem": "2g"}, f"{NODE_CONFIG}.mem: unknown key"),
        ({1: 2}, NODE_CONFIG),
    ],
)
def test_a_bad_value_is_one_line_that_names_file_and_key(tmp_path: Path, section: Any, refusal: str) -> None:
    with pytest.raises(SpecError) as refused:
        configs(tmp_path, section)

    assert refused.value.message.startswith(f"{tmp_path / 'docker.yaml'}: {refusal}")
    assert len(refused.value.message.splitlines()) == 1


@pytest.mark.parametrize("port", [1, 8265, 65535])
def test_the_dashboard_may_have_a_port(tmp_path: Path, port: int) -> None:
    path = written(tmp_path, {**RAW, "provider": {**RAW["provider"], "dashboard_port": port}})

    assert dashboard_port(read_cluster_file(path)) == port


@pytest.mark.parametrize("port", [0, -1, 65536, 82.65, "8265", True, [8265]])
def test_what_is_no_port_is_refused_with_file_and_key(tmp_path: Path, port: Any) -> None:
    path = written(tmp_path, {**RAW, "provider": {**RAW["provider"], "dashboard_port": port}})
    with pytest.raises(SpecError) as refused:
        dashboard_port(read_cluster_file(path))

    assert refused.value.message == f"{path}: provider.dashboard_port: expected a port, 1 to 65535"


def test_a_refused_variable_of_the_environment_is_not_shown(tmp_path: Path) -> None:
    with pytest.raises(SpecError) as refused:
        configs(tmp_path, {"environment": {"TOKEN": 12345}})

    assert "12345" not in refused.value.message
