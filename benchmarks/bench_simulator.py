"""How much faster than real time the simulator is, and what its shortcuts bring."""

import time

import pytest

from orchestrator.model.cluster import ClusterShape, NodeType
from orchestrator.model.latency import Delay, LaunchModel
from orchestrator.model.settings import AutoscalerVersion, Settings
from orchestrator.model.trial import Trial
from orchestrator.model.workload import Workload
from orchestrator.simulator.simulation import simulate

VERSIONS: tuple[AutoscalerVersion, ...] = ("v1", "v2")
SPEEDS = (1.0, 5.0, 10.0)
IDLE_MINUTES = (1.0, 5.0)
SHAPE = ClusterShape(
    head=NodeType(name="head", arch="x86_64", resources={"CPU": 0}),
    workers=(
        NodeType(name="x86", arch="x86_64", resources={"CPU": 8, "Intel": 1}, min_workers=1, max_workers=8),
        NodeType(name="arm", arch="arm64", resources={"CPU": 8, "Graviton": 1}, min_workers=1, max_workers=8),
    ),
    max_workers=16,
    launch=LaunchModel(request=Delay(mean_s=2.5), boot=Delay(distribution="lognormal", mean_s=77.5, sigma=0.2)),
)


# Beyond these, Ray's code without shortcuts takes more than three minutes for one trial.
MOST_PLAIN_NODES = {"v1": 1000, "v2": 100}


def large(nodes: int, version: AutoscalerVersion) -> Trial:
    """A burst that all of `nodes` nodes work on for 25 minutes: 100 tasks for each of them."""
    workers = tuple(worker.model_copy(update={"max_workers": nodes // 2}) for worker in SHAPE.workers)
    return Trial(
        backend="simulated",
        settings=Settings(
            autoscaler=version,
            upscaling_speed=10,
            idle_timeout_minutes=1,
            max_concurrent_launches=nodes // 5,
            max_launch_batch=50,
        ),
        shape=SHAPE.model_copy(update={"workers": workers, "max_workers": nodes}),
        workload=Workload(tasks=100 * nodes, seconds=120),
    )


def timed(one: Trial, *, plain: bool = False) -> tuple[float, float]:
    """Virtual and real seconds of a trial; real ones as this process's own, which neighbours don't lengthen."""
    start = time.process_time()
    return simulate(one, lambda _: None, timeout_s=36_000, plain=plain).virtual_s, time.process_time() - start


def simulated(version: AutoscalerVersion, *, plain: bool = False) -> tuple[float, float]:
    """The seed's experiment under one autoscaler: virtual and real seconds of its six trials."""
    virtual, start = 0.0, time.perf_counter()
    for speed in SPEEDS:
        for idle in IDLE_MINUTES:
            settings = Settings(autoscaler=version, upscaling_speed=speed, idle_timeout_minutes=idle)
            trial = Trial(backend="simulated", settings=settings, shape=SHAPE, workload=Workload())
            virtual += simulate(trial, lambda _: None, timeout_s=36_000, plain=plain).virtual_s
    return virtual, time.perf_counter() - start


def test_virtual_over_real_time(capsys: pytest.CaptureFixture[str]) -> None:
    """The seed's twelve trials: how many virtual seconds pass in one real second, and fast over plain."""
    for version in VERSIONS:
        simulated(version)  # imports Ray
        virtual, fast_s = simulated(version)
        virtual_plain, plain_s = simulated(version, plain=True)
        with capsys.disabled():
            print(
                f"\nsimulator, {version}: {virtual:.0f} virtual s in {fast_s:.2f} s = {virtual / fast_s:.0f} times "
                f"real time; plain takes {plain_s:.2f} s = {plain_s / fast_s:.1f} times as long"
            )
        assert virtual == virtual_plain


@pytest.mark.parametrize(("nodes", "version"), [(100, "v2"), (100, "v1"), (1000, "v2"), (1000, "v1")])
def test_a_trial_of_many_nodes(nodes: int, version: AutoscalerVersion, capsys: pytest.CaptureFixture[str]) -> None:
    """One trial with 100 tasks a node; the goal for 1000 nodes under v2 is 10 s."""
    measure(nodes, version, capsys)


def test_a_trial_of_10_000_nodes(capsys: pytest.CaptureFixture[str]) -> None:
    """A million tasks; the goal is 2 minutes."""
    measure(10_000, "v2", capsys)


def measure(nodes: int, version: AutoscalerVersion, capsys: pytest.CaptureFixture[str]) -> None:
    """Run a trial and print what it took."""
    simulate(large(10, version), lambda _: None, timeout_s=36_000)  # imports Ray
    one = large(nodes, version)
    virtual, fast_s = timed(one)
    ratio = f"plain isn't run above {MOST_PLAIN_NODES[version]} nodes"
    if nodes <= MOST_PLAIN_NODES[version]:
        virtual_plain, plain_s = timed(one, plain=True)
        assert virtual == virtual_plain
        ratio = f"plain takes {plain_s:.2f} s = {plain_s / fast_s:.1f} times as long"
    with capsys.disabled():
        print(
            f"\nsimulator, {version}, {nodes} nodes, {one.workload.tasks} tasks: {virtual:.0f} virtual s in "
            f"{fast_s:.2f} s = {virtual / fast_s:.0f} times real time; {ratio}"
        )
