"""The `moon` backend: its clusters are files, one for each lander, and its trials take no time."""

import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import psutil

from orchestrator.backends.base import Backend, BackendKind, BackendRequest, Orphan
from orchestrator.errors import SpecError
from orchestrator.inputs.cluster_config import ClusterFile
from orchestrator.metrics.discovery import Target
from orchestrator.model.events import DemandEvent, NodeEvent, PhaseEvent, SettingsEvent, TaskEvent
from orchestrator.model.trial import Trial
from orchestrator.observer.observer import Observer
from orchestrator.readiness import Finding, Question
from orchestrator.trace.file import TraceWriter

CRASH = "MOONLAB_CRASH"
"""With this variable a trial ends the process as `kill -9` does."""


class MoonBackend:
    """Lands one node per trial, which runs all tasks at once."""

    name = "moon"
    observer: Observer | None = None
    reproducible = False
    left: Sequence[str] = ()

    def __init__(self, request: BackendRequest) -> None:
        self._folder = landers(request.home)
        self._crater = request.cluster.raw["provider"]["crater"]
        self._lander: Path | None = None

    def expect(self, trials: Sequence[Trial]) -> None:
        pass

    def run(self, trial: Trial, trace: TraceWriter, log_path: Path) -> None:
        self.close()
        self._folder.mkdir(parents=True, exist_ok=True)
        lander = self._lander = self._folder / trial.trial_id
        lander.write_text(str(os.getpid()))
        t, workload, worker = time.time(), trial.workload, trial.shape.workers[0]
        trace.emit(PhaseEvent(t=t, phase="preparing", detail=f"landing in {self._crater}"))
        if CRASH in os.environ:
            os._exit(137)
        trace.emit(SettingsEvent(t=t, in_force={}, as_wanted=True))
        trace.emit(DemandEvent(t=t, pending={"CPU=1": workload.tasks}, pending_cpus=workload.cpu_seconds))
        node = NodeEvent(t=t, node="n1", node_type=worker.name, cpus=worker.cpus, state="requested", ray_node_id="n1")
        trace.emit(node)
        trace.emit(node.model_copy(update={"t": t + 1, "state": "running", "previous": "requested"}))
        ended = t + 1 + workload.seconds
        trace.emit(
            TaskEvent(
                t=ended,
                node="n1",
                node_type=worker.name,
                submitted=t,
                started=t + 1,
                ended=ended,
                count=workload.tasks,
            )
        )
        trace.emit(node.model_copy(update={"t": ended + 1, "state": "terminated", "previous": "running"}))
        trace.emit(PhaseEvent(t=ended + 1, phase="done"))

    def targets(self) -> list[Target]:
        return []

    def close(self) -> None:
        if self._lander is not None:
            self._lander.unlink(missing_ok=True)


def landers(home: Path) -> Path:
    return home / "moon"


def _create(request: BackendRequest) -> Backend:
    request.note(f"the landing site is {request.cluster.raw['provider']['crater']}")
    return MoonBackend(request)


def _check(cluster: ClusterFile) -> None:
    if "crater" not in cluster.raw["provider"]:
        raise SpecError(f"{cluster.path}: provider.crater", "is missing")


def _orphans(home: Path) -> Iterator[Orphan]:
    for lander in sorted(landers(home).glob("*")):
        yield Orphan(lander.name, {"lander": (str(lander),)}, in_use=psutil.pid_exists(int(lander.read_text())))


def _remove(home: Path, cluster_id: str) -> None:
    (landers(home) / cluster_id).unlink(missing_ok=True)


def _questions(home: Path) -> list[Question]:
    return [Question("moon weather", ("moon",), lambda: Finding("ok", "no clouds"))]


MOON = BackendKind(
    name="moon",
    starts="landers on the moon",
    default_cluster=lambda: Path(__file__).with_name("moon.yaml"),
    create=_create,
    faults=frozenset({"kill"}),
    check=_check,
    orphans=_orphans,
    remove=_remove,
    questions=_questions,
)
