"""Sweeps on clusters of containers: a small cluster file, and what a home has in an engine."""

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.support.docker_engine import Engine
from tests.support.orchestrate_command import ROOT, Orchestrate

if TYPE_CHECKING:
    from docker.models.containers import Container

ARM, X86 = "arm_worker_node", "x86_worker_node"
HOME = "dev.orchestrate.home"
BUILT_IN = ROOT / "cluster/docker.yaml"
SMALL = {
    "CPU: 8": "CPU: 1",
    "max_workers: 8": "max_workers: 2",
    "max_workers: 16": "max_workers: 4",
    "idle_timeout_minutes: 0.25": "idle_timeout_minutes: 0.1",
    "mean_s: 4.0": "mean_s: 1.0",
}


def cluster_file(folder: Path, **more: str) -> str:
    """The built-in cluster, so small that two cores hold all of it: 1 to 2 nodes of two types, a CPU each."""
    text = BUILT_IN.read_text()
    for old, new in {**SMALL, **more}.items():
        assert old in text, old
        text = text.replace(old, new)
    path = folder / "cluster.yaml"
    path.write_text(text)
    return str(path)


def options(folder: Path, **more: str) -> list[str]:
    """Of a sweep on that cluster."""
    return ["sweep", "--backend", "docker", "--fit", "none", "--cluster", cluster_file(folder, **more)]


def in_docker(engine: Engine, home: Path) -> Orchestrate:
    return Orchestrate(home, {**engine.environment})


def containers(engine: Engine, home: Path) -> "dict[str, Container]":
    """The containers of a home by their node type."""
    with contextlib.closing(engine.client()) as client:
        found = client.containers.list(filters={"label": f"dev.orchestrate.home={home.resolve()}"})
    return {container.labels["dev.orchestrate.node-type"]: container for container in found}


def assert_nothing_is_left(engine: Engine, home: Path) -> None:
    with contextlib.closing(engine.client()) as client:
        ours: dict[str, Any] = {"label": f"dev.orchestrate.home={home.resolve()}"}
        assert client.containers.list(all=True, filters=ours) == []
        assert client.networks.list(filters=ours) == []
    assert not list((home / "clusters").glob("*"))


def events(home: Path, kind: str) -> list[dict[str, Any]]:
    """Of the newest trace."""
    return [event for event in Orchestrate(home).trace() if event["type"] == kind]
