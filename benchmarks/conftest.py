"""A cluster and a sweep on real Ray, made once for all benchmarks; run them with `make bench` on a quiet machine."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from orchestrator.assets import bundled
from orchestrator.backends.base import BackendRequest
from orchestrator.backends.live.cluster import ClusterLaunch
from orchestrator.backends.live.ownership import ensure_token
from orchestrator.backends.local.backend import LocalBackend
from orchestrator.backends.local.cluster import LocalCluster
from orchestrator.inputs.cluster_config import ClusterFile, read_cluster_file
from orchestrator.model.events import Event, NodeEvent
from orchestrator.model.scorecard import Scorecard
from orchestrator.model.settings import Settings
from orchestrator.model.spec import Axes, SweepSpec
from orchestrator.model.trial import Trial
from orchestrator.rayapi.environment import authenticate
from orchestrator.rayapi.gcs import GcsView
from orchestrator.sweeps.fit import fit_shape, this_machine
from orchestrator.sweeps.folder import SweepFolder
from orchestrator.sweeps.ledger import Ledger, SweepRecord
from orchestrator.sweeps.plan import make_plan
from orchestrator.sweeps.runner import Runner, begin_sweep

# Ray reads its token once, when it is imported, which the simulator's benchmarks do as they are collected.
_HOME = TemporaryDirectory(prefix="orchestrate-bench-")
authenticate(ensure_token(Path(_HOME.name)))


@pytest.fixture(scope="session")
def home() -> Path:
    """One home, and so one token, for the whole process."""
    return Path(_HOME.name)


@pytest.fixture(scope="session")
def cluster_file() -> ClusterFile:
    """The bundled local cluster config."""
    return read_cluster_file(bundled("cluster/local.yaml"))


@pytest.fixture(scope="session")
def full_cluster(home: Path, cluster_file: ClusterFile) -> Iterator[LocalCluster]:
    """A local cluster with all the nodes that fit this machine (six on two cores), idle."""
    shape = fit_shape(cluster_file.shape, this_machine())
    settings = Settings(upscaling_speed=10, idle_timeout_minutes=60, min_workers=shape.workers[0].max_workers)
    shape = shape.with_settings(settings)
    cluster = LocalCluster.start(ClusterLaunch(home, cluster_file, shape, settings))
    try:
        view = GcsView(cluster.gcs)
        deadline = time.monotonic() + 180
        while view.poll().alive_workers != shape.baseline:
            assert time.monotonic() < deadline
            time.sleep(0.5)
        time.sleep(5)  # let the last node's start be over
        yield cluster
    finally:
        cluster.stop()


@dataclass
class Watched:
    """A sweep and what was measured beside it: seconds by the wall clock, and how late each node's start was seen."""

    record: SweepRecord
    wall_s: float
    running_lags_s: list[float] = field(default_factory=list)


class Lags:
    """A watcher: when the first trial found its cluster up, and how late it was told that nodes run."""

    name = "lags"

    def __init__(self) -> None:
        self.up: list[float] = []
        self.running_s: list[float] = []

    def trial_started(self, number: int, total: int, trial: Trial) -> None: ...

    def event(self, event: Event) -> None:
        now = time.time()
        if event.type == "settings" and not self.up:
            self.up.append(now)
        if isinstance(event, NodeEvent) and event.state == "running" and event.previous == "installing":
            self.running_s.append(now - event.t)

    def trial_ended(self, trial: Trial, scorecard: Scorecard | None, reason: str) -> None: ...


@pytest.fixture(scope="session")
def watched_sweep(home: Path, cluster_file: ClusterFile) -> Watched:
    """Speeds 1 and 5 on one reused cluster. The wall clock starts when the first trial finds its cluster up."""
    lags = Lags()
    spec = SweepSpec(settings=Axes(upscaling_speed=(1.0, 5.0)))
    ledger = Ledger(f"sqlite:///{home / 'ledger.db'}")
    plan = make_plan(spec, cluster_file, this_machine())
    runner = Runner(
        ledger, LocalBackend(BackendRequest(home, spec, cluster_file)), SweepFolder(home / "sweep"), watchers=[lags]
    )
    record = runner.run(begin_sweep(ledger, plan))
    return Watched(record, time.time() - lags.up[0], lags.running_s)
