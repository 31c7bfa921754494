"""The parts of the Ray boundary that need no Ray: options of a node, and Ray's schema read from its file."""

import dataclasses
import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import jsonschema
import pytest

from orchestrator.rayapi.environment import LOOPBACK_ENVIRONMENT, authenticate, token_environment
from orchestrator.rayapi.node import NodeOptions
from orchestrator.rayapi.version import NEWEST, OLDEST, cluster_config_schema

WORKER = NodeOptions(
    node_id="ab" * 28,
    temp_dir="/tmp/orchestrate-c0ffee00",
    resources={"CPU": 2.0, "Graviton": 1.0},
    labels={"zone": "a"},
    object_store_memory=80_000_000,
    gcs_address="127.0.0.1:6379",
)


def test_a_node_that_joins_a_gcs_is_a_worker() -> None:
    assert not WORKER.is_head


def test_a_node_that_has_no_gcs_to_join_is_the_head() -> None:
    assert dataclasses.replace(WORKER, gcs_address=None).is_head


@pytest.mark.parametrize("options", [WORKER, dataclasses.replace(WORKER, gcs_address=None, gcs_port=6379)])
def test_options_reach_the_node_host_through_json(options: NodeOptions) -> None:
    assert options == NodeOptions(**json.loads(json.dumps(dataclasses.asdict(options))))


def test_rays_cluster_config_schema_is_a_valid_schema() -> None:
    schema = cluster_config_schema()
    jsonschema.Draft7Validator.check_schema(schema)

    assert {"cluster_name", "provider"} == set(schema["required"])


@pytest.mark.parametrize(
    "key",
    [
        "available_node_types",
        "cluster_name",
        "head_node_type",
        "idle_timeout_minutes",
        "max_workers",
        "provider",
        "upscaling_speed",
    ],
)
def test_rays_schema_knows_every_key_that_is_rendered(key: str) -> None:
    assert key in cluster_config_schema()["properties"]


def test_rays_schema_still_rejects_the_target_utilization_fraction() -> None:
    """Should Ray take the key up again, the special ways around it can go."""
    schema = cluster_config_schema()

    assert "target_utilization_fraction" not in schema["properties"]
    assert schema["additionalProperties"] is False


def test_reading_schema_and_version_imports_no_ray() -> None:
    program = (
        "import sys; from orchestrator.rayapi.version import cluster_config_schema, ray_version;"
        " cluster_config_schema(); ray_version();"
        "print('ray' in sys.modules)"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert "False" == result.stdout.strip()


def test_a_token_is_handed_on_by_the_name_of_its_file_only(tmp_path: Path) -> None:
    token = tmp_path / "ray_token"
    token.write_text("secret")

    assert {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(token)} == token_environment(token)


def test_authenticating_forgets_a_token_that_the_user_had_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in (*token_environment(tmp_path), *LOOPBACK_ENVIRONMENT):
        monkeypatch.setenv(name, "before")
    monkeypatch.setenv("RAY_AUTH_TOKEN", "of another cluster")
    authenticate(tmp_path / "ray_token")

    assert "RAY_AUTH_TOKEN" not in os.environ
    assert str(tmp_path / "ray_token") == os.environ["RAY_AUTH_TOKEN_PATH"]
    assert LOOPBACK_ENVIRONMENT.items() <= os.environ.items()


def test_the_package_installs_the_rays_that_are_known() -> None:
    dependencies = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text())["project"]["dependencies"]
    (oldest, newest) = (".".join(map(str, each)) for each in (OLDEST, (NEWEST[0], NEWEST[1] + 1)))

    assert f"ray[default]>={oldest},<{newest}" in dependencies
