"""Which nodes of a live cluster a fault may strike, and who strikes them; what an observer that failed means."""

import errno
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from orchestrator.backends.clusterfile import read_cluster_file
from orchestrator.backends.live import _Run, _Strikable
from orchestrator.errors import MissingPrerequisite, TrialFailed
from orchestrator.model.events import NodeState
from orchestrator.model.settings import Settings
from orchestrator.model.trial import Trial
from orchestrator.model.workload import Workload
from orchestrator.observer.lifecycle import NodeTraits, TrackedNode
from orchestrator.workload.faults import Victim


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


@pytest.mark.parametrize(
    ("failure", "meant"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), MissingPrerequisite),
        (OSError(errno.EIO, "I/O error"), TrialFailed),
        (KeyError("state"), TrialFailed),
    ],
)
def test_an_observer_that_failed_fails_the_trial_and_a_full_disk_the_sweep(
    failure: Exception, meant: type[Exception]
) -> None:
    shape = read_cluster_file(Path(__file__).parents[3] / "cluster" / "docker.yaml").shape
    trial = Trial(backend="docker", settings=Settings(), shape=shape, workload=Workload())
    cluster: Any = SimpleNamespace(check_alive=lambda: None, inject=None, mend=None)
    observer: Any = SimpleNamespace(failure=failure)
    trace: Any = SimpleNamespace(emit=lambda event: None)
    with pytest.raises(meant):
        _Run(trial, trace, Path("job.log"), cluster, observer, 60.0)._check()
