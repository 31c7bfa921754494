"""What a scrape costs at clusters of every size, and what the metrics cost the trial for each of its events."""

import time
from collections.abc import Callable

import pytest
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import CollectorRegistry
from pytest_benchmark.fixture import BenchmarkFixture

from orchestrator.metrics.exporter import Exporter
from orchestrator.model.arch import Arch
from orchestrator.model.cluster import ClusterShape, NodeType
from orchestrator.model.events import NodeEvent, NodeState
from orchestrator.model.prices import Prices
from orchestrator.model.scorecard import ByPart, Scorecard
from orchestrator.model.settings import Settings
from orchestrator.model.trial import Trial
from orchestrator.model.workload import Workload

SIZES = (16, 1000, 10_000)
FORMATS = {"text": "", "openmetrics": "application/openmetrics-text; version=1.0.0"}
TYPES: tuple[tuple[str, Arch, str], ...] = (("x86", "x86_64", "m7i.2xlarge"), ("arm", "arm64", "m8g.2xlarge"))
LAUNCH: tuple[tuple[NodeState, float], ...] = (("requested", 0), ("allocated", 2), ("installing", 60), ("running", 80))
PRICES = Prices(usd_per_hour={"m7i.2xlarge": 0.4, "m8g.2xlarge": 0.36})
# Measured: 4.3. With a series for each node it would be 50.
MOST_TIMES_16_NODES = 25.0
# Measured: 1.0. With the scorecards of all trials it would be 14.
MOST_TIMES_ONE_TRIAL = 3.0
SHAPE = ClusterShape(
    head=NodeType(name="head", arch="x86_64", resources={"CPU": 0}),
    workers=tuple(
        NodeType(name=name, arch=arch, instance_type=instance_type, resources={"CPU": 8}, max_workers=8)
        for name, arch, instance_type in TYPES
    ),
    max_workers=16,
)


def launched(nodes: int) -> list[NodeEvent]:
    """The events of a launch of so many nodes of two types."""
    return [
        NodeEvent(
            t=second,
            node=f"i-{number:017x}",
            node_type=TYPES[number % 2][0],
            arch=TYPES[number % 2][1],
            instance_type=TYPES[number % 2][2],
            cpus=8,
            state=state,
            cause="demand" if state == "requested" else "",
        )
        for state, second in LAUNCH
        for number in range(nodes)
    ]


def exporter_of(nodes: int) -> tuple[Exporter, float]:
    """An exporter of so many nodes that run, and the seconds that it took for each of their events."""
    exporter = Exporter("c0ffee00", prices=PRICES, clock=lambda: 1000.0)
    exporter.watch("bench")
    events = launched(nodes)
    start = time.perf_counter()
    for event in events:
        exporter.event(event)
    return exporter, (time.perf_counter() - start) / len(events)


def scrape_of(exporter: Exporter, accept: str = "") -> Callable[[], bytes]:
    """What the server does for a scrape, but for HTTP."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(exporter)
    encode, _ = choose_encoder(accept)

    def scrape() -> bytes:
        return bytes(encode(registry))

    return scrape


def fastest_s(work: Callable[[], object], rounds: int = 20) -> float:
    """Seconds of the fastest of many rounds, which neighbours lengthen least."""

    def timed() -> float:
        start = time.perf_counter()
        work()
        return time.perf_counter() - start

    return min(timed() for _ in range(rounds))


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("nodes", SIZES)
def test_scrape(benchmark: BenchmarkFixture, nodes: int, form: str) -> None:
    """One scrape of `nodes` running nodes."""
    body = benchmark(scrape_of(exporter_of(nodes)[0], FORMATS[form]))

    benchmark.extra_info["bytes"] = len(body)
    assert b"orchestrator_nodes{" in body


def test_a_scrape_of_many_nodes_stays_cheap(capsys: pytest.CaptureFixture[str]) -> None:
    """10 000 nodes against 16; beside them how long events must wait for the scrape, and what an event itself costs."""
    taken: dict[int, float] = {}
    for nodes in SIZES:
        exporter, event_s = exporter_of(nodes)
        scrape = scrape_of(exporter)
        taken[nodes] = fastest_s(scrape)
        held_s = fastest_s(lambda exporter=exporter: list(exporter.collect()))  # type: ignore[misc]
        with capsys.disabled():
            print(
                f"\nscrape of {nodes} nodes: {1000 * taken[nodes]:.1f} ms, {len(scrape()) / 1000:.0f} kB; events "
                f"wait for {1000 * held_s:.1f} ms; an event takes {1e6 * event_s:.0f} µs"
            )
    ratio = taken[10_000] / taken[16]
    with capsys.disabled():
        print(f"10 000 nodes cost {ratio:.1f} times 16 nodes (limit {MOST_TIMES_16_NODES:.0f})")
    assert ratio < MOST_TIMES_16_NODES


def after_trials(ended: int) -> Exporter:
    """An exporter of the trial that comes after so many, a minute each."""
    now = 0.0
    exporter = Exporter("c0ffee00", prices=PRICES, clock=lambda: now)
    card = Scorecard(makespan_s=60.0, launches=4, node_seconds=ByPart(total=400.0), cost_usd=ByPart(total=0.05))
    for number in range(ended + 1):
        trial = Trial(backend="local", settings=Settings(), shape=SHAPE, workload=Workload(), repeat=number + 1)
        exporter.trial_started(number + 1, ended + 1, trial)
        if number < ended:
            now += 60.0
            exporter.trial_ended(trial, card, "")
    return exporter


def test_a_scrape_late_in_a_long_sweep_stays_cheap(capsys: pytest.CaptureFixture[str]) -> None:
    """After 500 trials as after one."""
    scrapes = {ended: scrape_of(after_trials(ended)) for ended in (1, 500)}
    taken = {ended: fastest_s(scrape) for ended, scrape in scrapes.items()}
    with capsys.disabled():
        for ended, scrape in scrapes.items():
            print(f"\nscrape after {ended} trials: {1000 * taken[ended]:.1f} ms, {len(scrape()) / 1000:.0f} kB")
    assert taken[500] < MOST_TIMES_ONE_TRIAL * taken[1]
