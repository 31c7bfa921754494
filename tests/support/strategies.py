"""Hypothesis strategies for the nouns: each draws values that the models accept."""

from typing import Any

from hypothesis import strategies as st

from orchestrator.model.cluster import ClusterShape, NodeType
from orchestrator.model.events import (
    DemandEvent,
    Event,
    FaultEvent,
    HostEvent,
    NodeEvent,
    NoteEvent,
    PhaseEvent,
    SettingsEvent,
    TaskEvent,
    UsageEvent,
)
from orchestrator.model.fault import Fault
from orchestrator.model.latency import Delay, LaunchModel
from orchestrator.model.settings import Settings
from orchestrator.model.trial import Trial
from orchestrator.model.workload import Workload
from orchestrator.sweeps.fit import Machine

NAN, INFINITY = float("nan"), float("inf")
NOT_A_COUNT: tuple[Any, ...] = (-1, 1.5, NAN, INFINITY, "many", [], {})
"""Values that no count of things may have; `NOT_FINITE` and `NOT_A_NUMBER` are the like for seconds and CPUs."""
NOT_FINITE = (NAN, INFINITY, -INFINITY)
NOT_A_NUMBER: tuple[Any, ...] = ("fast", [], {}, [1.0])

words = st.text("abcdefghijklmnopqrstuvwxyz_", min_size=1, max_size=12)
label_words = st.text("abcdefghijklmnopqrstuvwxyz", min_size=1, max_size=12)
small_labels = st.dictionaries(label_words, label_words, max_size=2)


def delays() -> st.SearchStrategy[Delay]:
    """Latencies of up to a quarter of an hour."""
    return st.builds(
        Delay,
        distribution=st.sampled_from(["constant", "uniform", "normal", "lognormal", "exponential"]),
        mean_s=st.floats(0, 900),
        sigma=st.floats(0, 3),
    )


def launch_models() -> st.SearchStrategy[LaunchModel]:
    """Any request and boot latency under any seed."""
    return st.builds(LaunchModel, request=delays(), boot=delays(), seed=st.integers(-(2**31), 2**31))


@st.composite
def node_types(draw: st.DrawFn, name: str, most_workers: int = 40) -> NodeType:
    """A node type of whole CPUs whose `min_workers` isn't above its `max_workers`."""
    most = draw(st.integers(1, most_workers))
    return NodeType(
        name=name,
        arch=draw(st.sampled_from(["x86_64", "arm64", "unknown"])),
        instance_type=draw(st.sampled_from(["", "m7i.2xlarge", "m8g.2xlarge"])),
        resources={
            "CPU": draw(st.integers(0, 192)),
            **draw(st.dictionaries(st.sampled_from(["Intel", "Graviton"]), st.integers(0, 4))),
        },
        labels=draw(small_labels),
        min_workers=draw(st.integers(0, most)),
        max_workers=most,
    )


@st.composite
def shapes(draw: st.DrawFn, most_types: int = 4) -> ClusterShape:
    """A head and one to four worker types; all minima together fit under the common maximum."""
    workers = tuple(draw(node_types(f"worker_{index}")) for index in range(draw(st.integers(1, most_types))))
    least = sum(worker.min_workers for worker in workers)
    return ClusterShape(
        head=NodeType(name="head", arch="x86_64"),
        workers=workers,
        max_workers=draw(st.integers(max(1, least), sum(worker.max_workers for worker in workers) + 5)),
        launch=draw(launch_models()),
    )


@st.composite
def settings(draw: st.DrawFn) -> Settings:
    """Settings of either autoscaler; the fraction only where it is allowed."""
    autoscaler = draw(st.sampled_from(["v1", "v2"]))
    by_fraction = autoscaler == "v1" and draw(st.booleans())
    most = draw(st.none() | st.integers(0, 50))
    return Settings.model_validate(
        {
            "autoscaler": autoscaler,
            "upscaling_speed": None if by_fraction else draw(st.none() | st.floats(0.1, 1000)),
            "target_utilization_fraction": draw(st.floats(0.001, 1)) if by_fraction else None,
            "idle_timeout_minutes": draw(st.none() | st.floats(0.01, 60)),
            "max_concurrent_launches": draw(st.integers(1, 100)),
            "max_launch_batch": draw(st.integers(1, 100)),
            "update_interval_s": draw(st.integers(1, 60)),
            "min_workers": draw(st.none() | st.integers(0, 50 if most is None else most)),
            "max_workers": most,
        }
    )


def faults() -> st.SearchStrategy[Fault]:
    """Faults of every kind, with and without an end and a node type."""
    at, lasts, node_types = st.floats(0, 86_400), st.floats(0, 86_400, exclude_min=True), st.none() | words
    return st.one_of(
        st.builds(Fault, kind=st.just("kill"), at_s=at, node_type=node_types),
        st.builds(
            Fault,
            kind=st.sampled_from(["pause", "partition"]),
            at_s=at,
            for_s=st.none() | lasts,
            node_type=node_types,
        ),
        st.builds(Fault, kind=st.just("spot"), per_hour=st.floats(0.001, 3600), node_type=node_types),
    )


def workloads() -> st.SearchStrategy[Workload]:
    """Stress jobs of every arrival and kind."""
    return st.builds(
        Workload,
        tasks=st.integers(1, 1_000_000),
        seconds=st.floats(0.001, 86_400),
        cpus=st.floats(0, 64),
        arrival=st.sampled_from(["burst", "waves", "ramp", "poisson"]),
        arrival_s=st.floats(0, 3600),
        waves=st.integers(1, 20),
        resources=st.dictionaries(st.sampled_from(["Intel", "Graviton"]), st.floats(0.01, 4)),
        labels=small_labels,
        kind=st.sampled_from(["sleep", "burn"]),
        faults=st.lists(faults(), max_size=3).map(tuple),
    )


def trials() -> st.SearchStrategy[Trial]:
    """Trials of the local backend."""
    return st.builds(
        Trial,
        backend=st.just("local"),
        settings=settings(),
        shape=shapes(most_types=2),
        workload=workloads(),
        repeat=st.integers(1, 20),
        seed=st.integers(0, 2**31),
    )


def machines() -> st.SearchStrategy[Machine]:
    """From a full Raspberry Pi to a large server."""
    return st.builds(Machine, cores=st.integers(1, 256), memory=st.integers(0, 2**40))


finite = st.floats(allow_nan=False, allow_infinity=False)
times = st.floats(0, 31 * 86_400)
amounts = st.floats(0, 1e12)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
"""Any text that can be written as UTF-8, with control characters and all line ends of Unicode."""
node_states = st.sampled_from(
    ["requested", "allocated", "installing", "running", "idle", "draining", "terminated", "failed"]
)


def events() -> st.SearchStrategy[Event]:
    """Events of every known type."""
    arches = st.sampled_from(["x86_64", "arm64", "unknown"])
    return st.one_of(
        st.builds(PhaseEvent, t=times, phase=st.sampled_from(["starting", "running", "done", "failed"]), detail=texts),
        st.builds(SettingsEvent, t=times, in_force=st.dictionaries(texts, finite | texts), as_wanted=st.booleans()),
        st.builds(DemandEvent, t=times, pending=st.dictionaries(texts, st.integers(0, 10**9)), pending_cpus=amounts),
        st.builds(
            NodeEvent,
            t=times,
            node=texts,
            node_type=texts,
            arch=arches,
            cpus=amounts,
            is_head=st.booleans(),
            state=node_states,
            previous=st.none() | node_states,
            detail=texts,
            since=st.none() | times,
        ),
        st.builds(UsageEvent, t=times, cpus=st.dictionaries(texts, st.tuples(amounts, amounts))),
        st.builds(
            TaskEvent,
            t=times,
            node=texts,
            arch=arches,
            submitted=times,
            started=times,
            ended=times,
            count=st.integers(1, 10**6),
            ok=st.booleans(),
        ),
        st.builds(HostEvent, t=times, cpu_percent=amounts, load_1m=amounts, memory_available=st.integers(0, 2**63 - 1)),
        st.builds(NoteEvent, t=times, kind=texts, text=texts, seconds=st.floats(-1e12, 1e12)),
        st.builds(
            FaultEvent,
            t=times,
            kind=st.sampled_from(["kill", "pause", "partition", "spot"]),
            stage=st.sampled_from(["begin", "end"]),
            node=texts,
            node_type=texts,
            arch=arches,
            detail=texts,
            since=st.none() | times,
            until=st.none() | times,
            tasks=st.none() | st.integers(0, 10**9),
        ),
    )
