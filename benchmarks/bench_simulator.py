"""How much faster than real time the simulator is, and what its shortcuts bring."""

import time

import pytest

from orchestrator.model.delay import Delay, LaunchModel
from orchestrator.model.settings import AutoscalerVersion, Settings
from orchestrator.model.shape import ClusterShape, NodeType
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
