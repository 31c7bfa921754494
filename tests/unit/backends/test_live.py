"""Which nodes of a live cluster a fault may strike, and who strikes them; what a trial says when a disk is full."""

import errno
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from orchestrator.backends.cluster import LiveCluster
from orchestrator.backends.clusterfile import read_cluster_file
from orchestrator.backends.live import LiveBackend, _Strikable
from orchestrator.errors import MissingPrerequisite
from orchestrator.model.events import NodeState
from orchestrator.model.settings import Settings
from orchestrator.model.trial import Trial
from orchestrator.model.workload import Workload
from orchestrator.observer.lifecycle import NodeTraits, TrackedNode
from orchestrator.observer.trace import TraceWriter
from orchestrator.workload.faults import Victim

FILE = read_cluster_file(Path(__file__).parents[3] / "cluster" / "docker.yaml")


class Observer:
    def __init__(self, nodes: Sequence[TrackedNode]) -> None:
        self._nodes = nodes

    def nodes(self) -> list[TrackedNode]:
        return list(self._nodes)


class Cluster:
    def __init__(self) -> None:
        self.done: list[tuple[str, str, str]] = []

    def inject(self, kind: str, node: str) -> None:
        self.done.append(("inject", kind, node))

    def mend(self, kind: str, node: str) -> None:
        self.done.append(("mend", kind, node))


def strikable(*nodes: TrackedNode) -> tuple[Any, Cluster]:
    cluster = Cluster()
    return _Strikable(cluster, Observer(nodes)), cluster  # type: ignore[arg-type]


def tracked(name: str, state: NodeState | None, **more: Any) -> TrackedNode:
    return TrackedNode(name, "arm", NodeTraits("arm64"), state, **more)


@pytest.mark.parametrize("state", ["running", "idle"])
def test_a_worker_that_runs_can_be_struck(state: NodeState) -> None:
    target, _ = strikable(tracked("n1", state))

    assert target.victims() == [Victim("n1", "arm", "arm64")]


@pytest.mark.parametrize("state", [None, "requested", "allocated", "installing", "draining", "terminated", "failed"])
def test_a_worker_that_does_not_run_cannot(state: NodeState | None) -> None:
    target, _ = strikable(tracked("n1", state))

    assert target.victims() == []


def test_the_head_is_never_struck() -> None:
    target, _ = strikable(tracked("head", "idle", is_head=True))

    assert target.victims() == []


def test_the_cluster_strikes_and_mends() -> None:
    target, cluster = strikable()
    target.inject("pause", "n1")
    target.mend("pause", "n1")

    assert cluster.done == [("inject", "pause", "n1"), ("mend", "pause", "n1")]


class Backend(LiveBackend):
    """Its clusters can't be started, for want of room or of something else."""

    name = "docker"
    error = OSError(errno.ENOSPC, "No space left on device", "cluster.yaml")

    def _start_cluster(self, trial: Trial) -> LiveCluster:
        raise self.error


def run(backend: LiveBackend, folder: Path) -> None:
    trial = Trial(backend="docker", settings=Settings(), shape=FILE.shape, workload=Workload())
    with TraceWriter(folder / "trace.jsonl", trial=trial, context={}) as trace:
        backend.run(trial, trace, folder / "job.log")


def test_a_full_disk_ends_the_sweep_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(MissingPrerequisite, match=r"^there is no room left to write cluster\.yaml: No space left on"):
        run(Backend(tmp_path / "home", FILE.raw), tmp_path)


def test_another_fault_of_the_machine_is_not_hidden(tmp_path: Path) -> None:
    backend = Backend(tmp_path / "home", FILE.raw)
    backend.error = OSError(errno.EIO, "I/O error")
    with pytest.raises(OSError, match="I/O error"):
        run(backend, tmp_path)
