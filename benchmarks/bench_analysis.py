"""What the analysis of large sweeps and large trials costs, from the files on."""

import time
from pathlib import Path

import pytest

from benchmarks.bench_simulator import SHAPE
from orchestrator.analysis.sweep.evidence import Result, weigh
from orchestrator.analysis.trial.score import score
from orchestrator.inputs.prices import read_prices
from orchestrator.model.cluster import ClusterShape, NodeType
from orchestrator.model.settings import Settings
from orchestrator.model.trial import Trial
from orchestrator.model.workload import Workload
from orchestrator.simulator.simulation import simulate
from orchestrator.trace.file import TraceWriter, read_trace


def recorded(trial: Trial, folder: Path) -> Path:
    """The trace of a simulated trial."""
    path = folder / f"{trial.trial_id}.jsonl"
    with TraceWriter(path, trial=trial) as trace:
        simulate(trial, trace.emit, timeout_s=864_000)
    return path


def test_scoring_a_trial_of_a_thousand_nodes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """100 000 tasks on 1000 nodes: reading the trace and scoring it, apart."""
    kinds = tuple(NodeType(**{**dict(kind), "max_workers": 500}) for kind in SHAPE.workers)
    shape = ClusterShape(head=SHAPE.head, workers=kinds, max_workers=1000, launch=SHAPE.launch)
    settings = Settings(upscaling_speed=10, idle_timeout_minutes=1, max_concurrent_launches=200, max_launch_batch=50)
    trial = Trial(backend="simulated", settings=settings, shape=shape, workload=Workload(tasks=100_000))
    path = recorded(trial, tmp_path)
    began = time.perf_counter()
    events = read_trace(path).events
    read = time.perf_counter()
    card = score(trial, events, read_prices())
    scored = time.perf_counter()

    with capsys.disabled():
        print(
            f"\nanalysis: 1000 nodes, 100 000 tasks, {len(events)} events, {path.stat().st_size / 1e6:.1f} MB:", end=" "
        )
        print(f"read in {read - began:.2f} s, scored in {scored - read:.2f} s")
    assert card.tasks == 100_000
    assert card.peak_nodes == 1000


def test_scoring_a_sweep_of_two_hundred_trials(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Ten settings, twenty repeats: all traces read and scored, then weighed."""
    trials = [
        Trial(
            backend="simulated",
            settings=Settings(upscaling_speed=speed, idle_timeout_minutes=1),
            shape=SHAPE,
            workload=Workload(),
            repeat=repeat,
            seed=repeat,
        )
        for repeat in range(1, 21)
        for speed in range(1, 11)
    ]
    paths = [recorded(trial, tmp_path) for trial in trials]
    began = time.perf_counter()
    cards = [score(trial, read_trace(path).events, read_prices()) for trial, path in zip(trials, paths, strict=True)]
    scored = time.perf_counter()
    evidence = weigh(
        [
            Result(trial.settings, trial.repeat, trial.seed, trial.trial_id, card)
            for trial, card in zip(trials, cards, strict=True)
        ]
    )
    weighed = time.perf_counter()

    with capsys.disabled():
        print(f"\nanalysis: 200 trials scored in {scored - began:.2f} s, weighed in {weighed - scored:.2f} s")
    assert len(evidence.settings) == 10
