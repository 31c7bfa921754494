"""`orchestrate doctor` on this machine as it is, without an engine and with one."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from orchestrator.backends.docker.image_build import default_image_name
from tests.support.docker_engine import Engine
from tests.support.orchestrate_command import Orchestrate

pytestmark = pytest.mark.alone

NO_ENGINE = {"DOCKER_HOST": "unix:///nowhere/docker.sock"}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


def examined(home: Path, environment: Mapping[str, str], exit_code: int) -> dict[str, dict[str, Any]]:
    """The checks by name."""
    result = Orchestrate(home, dict(environment))("doctor", "--json")

    assert result.returncode == exit_code, result.stderr
    document = json.loads(result.stdout)
    assert document["ready"] is (exit_code == 0)
    return {check["name"]: check for check in document["checks"]}


def test_local_sweeps_need_no_engine(home: Path) -> None:
    checks = examined(home, NO_ENGINE, exit_code=0)

    assert checks["Ray"]["state"] == "ok"
    assert "--fit machine: x86_worker_node" in checks["cores and memory"]["detail"]
    assert checks["Docker engine"]["state"] == "missing"
    assert "/nowhere/docker.sock doesn't exist" in checks["Docker engine"]["detail"]
    assert checks["Ray image"] | {"detail": ""} == {
        "name": "Ray image",
        "state": "missing",
        "detail": "",
        "hint": "",
        "needed_by": ["docker"],
    }
    assert not home.exists()


def test_an_engine_and_its_images_are_told(home: Path, ray_engine: Engine) -> None:
    checks = examined(home, ray_engine.environment, exit_code=0)

    assert checks["Docker engine"]["state"] == "ok"
    assert checks["Docker compose"]["state"] == "ok"
    assert checks["Ray image"]["state"] == "ok"
    assert default_image_name() in checks["Ray image"]["detail"]
    assert checks["leftovers"]["detail"] == "killed runs left nothing"


def test_a_home_that_can_not_be_written_is_exit_code_3(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    checks = examined(tmp_path / "file" / "home", NO_ENGINE, exit_code=3)

    assert checks["home"]["state"] == "missing"
    assert "--home" in checks["home"]["hint"]


def test_people_see_a_table_with_hints(home: Path) -> None:
    result = Orchestrate(home, NO_ENGINE)("doctor")

    assert result.returncode == 0
    assert "local sweeps can run" in result.stdout
    assert "docs.docker.com/engine/install" in result.stdout
    assert result.stderr == ""
