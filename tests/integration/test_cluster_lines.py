"""The lines to paste take effect: Ray's own launcher builds the start commands, and a shell runs them.

What a head would be told is read from the environment of a stand-in for `ray start`.
"""

import contextlib
import io
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from orchestrator.inputs.cluster_config import read_cluster_file
from orchestrator.model.settings import Settings
from orchestrator.report.cluster_lines import cluster_lines

pytest.importorskip("ray")

FILE = Path(__file__).parents[1] / "data" / "cluster_files" / "ray" / "aws-full.yaml"
SETTINGS = [
    Settings(autoscaler="v1", upscaling_speed=10, idle_timeout_minutes=1),
    Settings(autoscaler="v2", upscaling_speed=10, idle_timeout_minutes=1),
    Settings(autoscaler="v1", upscaling_speed=2, max_concurrent_launches=20, update_interval_s=1),
    Settings(autoscaler="v2", upscaling_speed=2, max_launch_batch=7),
]


class _Provider:
    """A cloud in which the head runs already."""

    def non_terminated_nodes(self, tags: dict[str, str]) -> list[str]:
        return ["i-head"]

    def node_tags(self, node_id: str) -> dict[str, str]:
        return {}

    def create_node(self, *_: Any) -> None:
        pass

    def terminate_node(self, node_id: str) -> None:
        pass

    def external_ip(self, node_id: str) -> str:
        return "10.0.0.1"


def start_commands(config: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The commands with which `ray up` would start Ray on the head."""
    from ray.autoscaler._private import commands

    seen: list[str] = []

    class Updater:
        exitcode = 0

        def __init__(self, *, ray_start_commands: list[str], **_: Any) -> None:
            seen.extend(ray_start_commands)

        def start(self) -> None:
            pass

        def join(self) -> None:
            pass

    monkeypatch.setattr(commands, "NodeUpdaterThread", Updater)
    with contextlib.redirect_stdout(io.StringIO()):
        commands.get_or_create_head_node(
            config, "cluster.yaml", False, False, True, None, no_monitor_on_head=True, _provider=_Provider()
        )
    return seen


def environment_of_ray_start(commands: list[str], folder: Path) -> dict[str, str]:
    """What `ray start` finds in its environment when these commands run, each in a shell of its own as over SSH."""
    (folder / "ray").write_text('#!/bin/sh\n[ "$1" = start ] && env > "$SEEN" || true\n')
    (folder / "ray").chmod(0o755)
    bare = {"PATH": f"{folder}:/usr/bin:/bin", "SEEN": str(folder / "seen")}
    for command in commands:
        subprocess.run(["sh", "-c", command], env=bare, check=True)
    return dict(line.split("=", 1) for line in (folder / "seen").read_text().splitlines() if "=" in line)


def assignments(lines: str, heading: str) -> dict[str, str]:
    """The `NAME=value` pairs of the comment that begins so."""
    line = next((line for line in lines.splitlines() if heading in line), "")
    return dict(re.findall(r"(\w+)=(\S+)", line))


@pytest.mark.parametrize("settings", SETTINGS, ids=Settings.label)
def test_a_file_of_ray_up_gets_the_autoscaler_that_the_lines_name(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The version comes from the environment of `ray up`, caps from the start command, speed from the file."""
    lines = cluster_lines(settings, "aws")
    monkeypatch.delenv("RAY_UP_enable_autoscaler_v2", raising=False)
    for name, value in assignments(lines, "environment of `ray up`").items():
        monkeypatch.setenv(name, value)
    caps = assignments(lines, "in front of `ray start`")
    config = {**read_cluster_file(FILE).raw, **yaml.safe_load(lines)}
    words = " ".join(f"{name}={value}" for name, value in caps.items())
    config["head_start_ray_commands"] = ["ray stop", f"ulimit -n 512; {words} ray start --head --port=6379"]
    seen = environment_of_ray_start(start_commands(config, monkeypatch), tmp_path)

    wanted = settings.monitor_environment()
    assert ("1" if settings.autoscaler == "v2" else "0") == seen.get("RAY_enable_autoscaler_v2", "0")
    assert {name: value for name, value in wanted.items() if name in caps} == caps
    assert caps.items() <= seen.items()
    assert settings.upscaling_speed == config["upscaling_speed"]


def test_the_variable_of_the_head_has_no_effect_under_ray_up(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """So that it would be wrong to print it for such a file."""
    monkeypatch.delenv("RAY_UP_enable_autoscaler_v2", raising=False)
    monkeypatch.setenv("RAY_enable_autoscaler_v2", "0")
    config = read_cluster_file(FILE).raw
    config["head_start_ray_commands"] = ["ray start --head"]

    assert "1" == environment_of_ray_start(start_commands(config, monkeypatch), tmp_path)["RAY_enable_autoscaler_v2"]
    assert "RAY_enable_autoscaler_v2" not in cluster_lines(SETTINGS[0], "aws")


@pytest.mark.parametrize("settings", SETTINGS[:2], ids=Settings.label)
def test_a_head_that_is_started_by_hand_reads_the_version_from_its_environment(settings: Settings) -> None:
    given = assignments(cluster_lines(settings, "kuberay"), "environment of the head")
    code = "from ray._raylet import Config; print(Config.enable_autoscaler_v2())"
    told = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **given}, capture_output=True, text=True, check=True
    )

    assert ("True" if settings.autoscaler == "v2" else "False") == told.stdout.strip()


def test_where_nobody_knows_how_the_cluster_is_started_both_ways_are_named() -> None:
    lines = cluster_lines(SETTINGS[0])

    assert {"RAY_enable_autoscaler_v2": "0"} == assignments(lines, "environment of the head")
    assert {"RAY_UP_enable_autoscaler_v2": "0"} == assignments(lines, "environment of `ray up`")
    assert {"upscaling_speed": 10.0, "idle_timeout_minutes": 1.0} == yaml.safe_load(lines)
