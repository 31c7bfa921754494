"""A backend of another package: its entry point is all that it takes, and no package can break the others."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.orchestrate_command import ROOT, Orchestrate

SWEEP = ("sweep", "--backend", "moon", "--upscaling-speed", "1,5", "--tasks", "3", "--task-seconds", "2")

Install = Callable[[str, str], None]


@pytest.fixture
def install(orchestrate: Orchestrate, tmp_path: Path) -> Install:
    """Installs a package `NAMElab` with an entry point, as pip would: its metadata and its code are on the path."""
    site = tmp_path / "site"
    site.mkdir()
    orchestrate.environment["PYTHONPATH"] = f"{site}:{ROOT / 'tests' / 'support'}"

    def call(name: str, value: str) -> None:
        metadata = site / f"{name}lab-1.0.dist-info"
        metadata.mkdir()
        (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}lab\nVersion: 1.0\n")
        (metadata / "entry_points.txt").write_text(f"[orchestrate.backends]\n{name} = {value}\n")

    return call


@pytest.fixture
def moon(orchestrate: Orchestrate, install: Install) -> Orchestrate:
    install("moon", "moonlab.backend:MOON")
    return orchestrate


def said(command: Orchestrate, *arguments: str, code: int = 0) -> str:
    result = command(*arguments)
    assert result.returncode == code, result.stderr
    return result.stdout + result.stderr


def checks(command: Orchestrate) -> dict[str, dict[str, Any]]:
    return {check["name"]: check for check in json.loads(command("doctor", "--json").stdout)["checks"]}


def test_a_sweep_on_it_is_planned_run_listed_and_shown(moon: Orchestrate) -> None:
    plan = said(moon, *SWEEP, "--dry-run")

    assert "moon: landers on the moon" in plan
    assert "the shape is fitted" not in plan  # its nodes aren't on this machine

    progress = said(moon, *SWEEP)

    assert "note: the landing site is Tycho" in progress
    assert not list((moon.home / "moon").iterdir())
    (sweep,) = moon.json("list")
    assert (sweep["backend"], sweep["status"]) == ("moon", "done")
    shown = moon.json("show", "@last")
    assert [trial["scorecard"]["makespan_s"] for trial in shown["trials"]] == [3.0, 3.0]
    assert [trial["scorecard"]["valid"] for trial in shown["trials"]] == [True, True]


def test_what_a_killed_run_left_is_found_and_removed(moon: Orchestrate) -> None:
    moon.environment["MOONLAB_CRASH"] = "1"
    assert moon(*SWEEP).returncode == 137
    del moon.environment["MOONLAB_CRASH"]

    assert "1 lander" in checks(moon)["leftovers"]["detail"]
    assert "would remove cluster" in said(moon, "clean", "--dry-run")

    (cluster,) = moon.json("clean")["clusters"]

    assert (cluster["backends"], list(cluster["parts"])) == (["moon"], ["lander"])
    assert not list((moon.home / "moon").iterdir())
    assert "sweep" in said(moon, "sweep", "--resume", "@last")


def test_its_own_rules_hold(moon: Orchestrate, tmp_path: Path) -> None:
    cluster = tmp_path / "far_side.yaml"
    cluster.write_text((ROOT / "tests/support/moonlab/moon.yaml").read_text().replace("crater: Tycho", "launch: {}"))

    assert "provider.crater: is missing" in said(moon, *SWEEP, "--cluster", str(cluster), code=2)
    assert "can't cause a pause" in said(moon, *SWEEP, "--fault", "pause@1+1", code=2)
    assert "--backend moon" in said(moon, "sweep", "--fault", "kill@1", "--dry-run", code=2)
    assert checks(moon)["moon weather"] == {
        "name": "moon weather",
        "state": "ok",
        "detail": "no clouds",
        "hint": "",
        "needed_by": ["moon"],
    }


def test_a_package_that_cannot_be_loaded_is_named_and_the_others_go_on(moon: Orchestrate, install: Install) -> None:
    install("mars", "marslab.backend:MARS")

    message = said(moon, "sweep", "--backend", "mars", "--dry-run", code=3)

    assert "error: the backend mars of the package marslab can't be used: ModuleNotFoundError" in message
    assert "Traceback" not in message
    assert checks(moon)["backends"]["state"] == "warning"
    assert "marslab" in checks(moon)["backends"]["detail"]
    assert "moon: landers" in said(moon, *SWEEP, "--dry-run")
