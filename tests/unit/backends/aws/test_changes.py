"""A sweep on EC2 shows what it launches in place of the user's cluster file."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from orchestrator.assets import bundled
from orchestrator.aws.cluster_file import with_images, with_versions
from orchestrator.backends.aws.changes import changes
from orchestrator.inputs.cluster_config import read_cluster_file


@pytest.fixture
def default() -> dict[str, Any]:
    config: dict[str, Any] = yaml.safe_load(bundled("cluster/aws.yaml").read_text())
    config["provider"]["region"] = "us-east-1"
    return config


def diff(tmp_path: Path, config: dict[str, Any]) -> list[str]:
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(config, sort_keys=False))
    return [*changes(read_cluster_file(path))]


def test_the_diff_is_from_the_file_to_what_is_launched(tmp_path: Path, default: dict[str, Any]) -> None:
    lines = diff(tmp_path, default)

    assert lines[:2] == [f"--- {tmp_path / 'mine.yaml'}", "+++ launched"]
    added = "\n".join(line for line in lines if line.startswith("+"))
    for key in ("TagSpecifications", "InstanceInitiatedShutdownBehavior: terminate", "KeyName", "UserData", "lease.sh"):
        assert key in added


def test_what_a_user_wrote_is_removed_only_where_it_is_replaced(tmp_path: Path, default: dict[str, Any]) -> None:
    node = default["available_node_types"]["x86_worker_node"]["node_config"]
    node |= {"KeyName": "mine", "SecurityGroupIds": ["sg-mine"], "EbsOptimized": True}
    lines = diff(tmp_path, default)
    removed = "\n".join(line for line in lines if line.startswith("-"))

    assert "KeyName: mine" in removed
    assert "EbsOptimized" not in removed
    assert "SecurityGroupIds: [sg-mine, sg-OF-THE-CLUSTER]" in "\n".join(lines)


def test_the_diff_is_the_same_each_time(tmp_path: Path, default: dict[str, Any]) -> None:
    assert diff(tmp_path, default) == diff(tmp_path, default)


# Versions and images


def test_only_commands_that_ask_for_versions_get_them(default: dict[str, Any]) -> None:
    found = with_versions(default, ray="2.55.1", python="3.12")["setup_commands"]

    assert found[0].startswith("export ORCHESTRATE_PYTHON=3.12; sudo dnf")
    assert found[1].startswith("export ORCHESTRATE_RAY=2.55.1; export ORCHESTRATE_PYTHON=3.12; test -x")
    assert found[2] == default["setup_commands"][2]


def test_each_architecture_gets_the_image_of_its_parameter(default: dict[str, Any]) -> None:
    base = "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default"
    found = with_images(default, {f"{base}-x86_64": "ami-x", f"{base}-arm64": "ami-a"})["available_node_types"]

    assert {name: section["node_config"]["ImageId"] for name, section in found.items()} == {
        "head_node": "ami-x",
        "x86_worker_node": "ami-x",
        "arm_worker_node": "ami-a",
    }


def test_the_pinned_ray_of_the_file_is_the_projects_own(default: dict[str, Any]) -> None:
    project = (Path(__file__).parents[4] / "pyproject.toml").read_text()
    pinned = next(line for line in project.splitlines() if "constraint-dependencies" in line)

    assert f"ORCHESTRATE_RAY:-{pinned.partition('==')[2].partition(chr(34))[0]}" in " ".join(default["setup_commands"])
