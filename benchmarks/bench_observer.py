"""What watching costs, and how late it sees things."""

import time

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.conftest import Watched
from orchestrator.analysis.trial.score import quantiles
from orchestrator.backends.local.cluster import LocalCluster
from orchestrator.observer.node_tracker import NodeTraits
from orchestrator.observer.observer import DEFAULT_INTERVAL_S, Observer
from orchestrator.rayapi.gcs import GcsView

WATCH_S = 30.0


def test_poll_latency(benchmark: BenchmarkFixture, full_cluster: LocalCluster) -> None:
    """One look at a cluster: two requests to the GCS and what is made of them."""
    view = GcsView(full_cluster.gcs)
    snapshot = benchmark(view.poll)

    benchmark.extra_info["nodes"] = len(snapshot.nodes)
    assert snapshot.nodes


def test_observer_cpu_share(full_cluster: LocalCluster, capsys: pytest.CaptureFixture[str]) -> None:
    """The share of one core that the observer's thread takes at its default interval."""
    observer = Observer(
        GcsView(full_cluster.gcs),
        lambda *_: NodeTraits("unknown"),
        logs=full_cluster.logs(),
    )

    observer.start()
    time.sleep(WATCH_S)
    observer.stop()
    found = observer.statistics
    share = found.cpu_seconds / WATCH_S
    with capsys.disabled():
        print(
            f"\nobserver with {len(observer.nodes())} nodes at {DEFAULT_INTERVAL_S} s: {share:.2%} of one core, "
            f"{found.polls} polls, mean {1000 * found.poll_seconds / found.polls:.1f} ms, "
            f"slowest {1000 * found.slowest_poll_s:.1f} ms"
        )
    assert found.errors == 0


def test_lag_between_a_nodes_start_and_its_event(watched_sweep: Watched, capsys: pytest.CaptureFixture[str]) -> None:
    """From `start_time_ms` in the node table to the event in the trace; the goal is one poll."""
    lags = quantiles(watched_sweep.running_lags_s)
    with capsys.disabled():
        print(
            f"\nlag of {lags.n} node starts: p50 {lags.p50:.2f} s, p95 {lags.p95:.2f} s, max {lags.max:.2f} s "
            f"(goal: one poll, {DEFAULT_INTERVAL_S} s)"
        )
    assert lags.n > 0
