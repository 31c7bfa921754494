"""The targets of faults in a live cluster, an observer that failed, and a cluster that can't be ended."""

import errno
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from orchestrator.backends.base import BackendRequest
from orchestrator.backends.live import backend as live
from orchestrator.backends.live.backend import LiveBackend
from orchestrator.backends.live.cluster import ClusterLaunch
from orchestrator.backends.live.trial_run import TrialRun, _InjectableCluster
from orchestrator.errors import ClusterFailed, MissingPrerequisite, TrialFailed
from orchestrator.faults.schedule import Target
from orchestrator.inputs.cluster_config import read_cluster_file
from orchestrator.model.events import NodeState, PhaseEvent
from orchestrator.model.settings import Settings
from orchestrator.model.snapshot import PendingNode, Snapshot
from orchestrator.model.spec import SweepSpec
from orchestrator.model.trial import Trial
from orchestrator.model.workload import Workload
from orchestrator.observer.node_tracker import NodeTraits, TrackedNode
from orchestrator.trace.file import TraceWriter, read_trace
from tests.support.builders import trial

FILE = read_cluster_file(Path(__file__).parents[4] / "cluster" / "docker.yaml")


def request(home: Path, **spec: Any) -> BackendRequest:
    return BackendRequest(home, SweepSpec(**spec), FILE)


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

    def recover(self, kind: str, node: str) -> None:
        self.done.append(("recover", kind, node))


def strikable(*nodes: TrackedNode) -> tuple[Any, Cluster]:
    cluster = Cluster()
    return _InjectableCluster(cluster, Observer(nodes)), cluster  # type: ignore[arg-type]


def tracked(name: str, state: NodeState | None, **more: Any) -> TrackedNode:
    return TrackedNode(name, "arm", NodeTraits("arm64"), state, **more)


@pytest.mark.parametrize("state", ["running", "idle"])
def test_a_worker_that_runs_can_be_struck(state: NodeState) -> None:
    target, _ = strikable(tracked("n1", state))

    assert target.targets() == [Target("n1", "arm", "arm64")]


@pytest.mark.parametrize("state", [None, "requested", "allocated", "installing", "draining", "terminated", "failed"])
def test_a_worker_that_does_not_run_cannot(state: NodeState | None) -> None:
    target, _ = strikable(tracked("n1", state))

    assert target.targets() == []


def test_the_head_is_never_struck() -> None:
    target, _ = strikable(tracked("head", "idle", is_head=True))

    assert target.targets() == []


def test_the_cluster_strikes_and_mends() -> None:
    target, cluster = strikable()
    target.inject("pause", "n1")
    target.recover("pause", "n1")

    assert cluster.done == [("inject", "pause", "n1"), ("recover", "pause", "n1")]


# A cluster that can't be ended


class Unremovable:
    """Its engine is away."""

    def stop(self) -> None:
        raise MissingPrerequisite("removing the cluster's containers: the Docker engine doesn't answer")


class Prepared(LiveBackend):
    """Its clusters start as `start` says."""

    name = "prepared"
    start: Callable[[], Any] = Unremovable

    def _start_cluster(self, launch: ClusterLaunch) -> Any:
        return self.start()


AWAY = "removing the cluster's containers: the Docker engine doesn't answer"


def test_a_cluster_that_cannot_be_ended_is_told_and_no_error(tmp_path: Path) -> None:
    backend = Prepared(request(tmp_path))
    backend._cluster = backend.start()
    backend.close()
    backend.close()

    assert list(backend.left) == [AWAY]


def test_a_trial_that_is_done_stays_done_if_its_own_cluster_cannot_be_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Done:
        def __init__(self, trial: Trial, trace: TraceWriter, *_more: object) -> None:
            self.execute = lambda: trace.emit(PhaseEvent(t=1.0, phase="done"))

    class Started(Prepared):
        def _ready_cluster(self, trial: Trial, trace: TraceWriter) -> Any:
            self._cluster = self.start()
            return self._cluster, SimpleNamespace(attach=lambda sink: None)

    monkeypatch.setattr(live, "TrialRun", Done)
    backend = Started(request(tmp_path, isolation="fresh"))
    with TraceWriter(tmp_path / "trace.jsonl", trial=trial()) as trace:
        backend.run(trial(), trace, tmp_path / "log")

    assert read_trace(tmp_path / "trace.jsonl").events == (PhaseEvent(t=1.0, phase="done"),)
    assert list(backend.left) == [AWAY]


@pytest.mark.parametrize(("pending", "ends"), [((), False), ((PendingNode("arm"),), True)])
def test_a_cluster_that_awaits_refused_nodes_runs_no_other_trial(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pending: tuple[PendingNode, ...], *, ends: bool
) -> None:
    """v2 would count on them."""
    backend = Prepared(request(tmp_path))
    cluster: Any = SimpleNamespace(stop=lambda: None)
    observer: Any = SimpleNamespace(
        attach=lambda sink: None, detach=lambda: None, stop=lambda: None, latest=Snapshot(1.0, pending=pending)
    )

    def ready(*_: object) -> Any:
        backend._cluster, backend.observer = cluster, observer
        return cluster, observer

    monkeypatch.setattr(backend, "_ready_cluster", ready)
    monkeypatch.setattr(live, "TrialRun", lambda *_: SimpleNamespace(execute=lambda: None, leaves_helpers=False))
    with TraceWriter(tmp_path / "trace.jsonl", trial=trial()) as trace:
        backend.run(trial(), trace, tmp_path / "log")

    assert ends == (backend._cluster is None)


def test_what_a_start_left_that_failed_is_told_beside_why_it_failed(tmp_path: Path) -> None:
    def fail() -> Any:
        error = ClusterFailed("the head can't be started")
        error.add_note(AWAY)
        raise error

    backend = Prepared(request(tmp_path))
    backend.start = fail
    with (
        TraceWriter(tmp_path / "trace.jsonl", trial=trial()) as trace,
        pytest.raises(ClusterFailed, match="the head can't be started"),
    ):
        backend.run(trial(), trace, tmp_path / "log")

    assert list(backend.left) == [AWAY]


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
    trial = Trial(backend="docker", settings=Settings(), shape=FILE.shape, workload=Workload())
    cluster: Any = SimpleNamespace(check_alive=lambda: None, inject=None, recover=None)
    observer: Any = SimpleNamespace(failure=failure)
    trace: Any = SimpleNamespace(emit=lambda event: None)
    with pytest.raises(meant) as ended:
        TrialRun(trial, trace, Path("job.log"), cluster, observer, 60.0, Path())._check()

    if meant is TrialFailed:
        assert str(ended.value) == f"the observer stopped after an error: {failure}; see orchestrate.log"
