"""Builders of trials and events for tests: short to write, times in seconds after `T0`."""

import json
from typing import Any

from orchestrator.backends.live.cluster_dir import ClusterFiles
from orchestrator.model.arch import Arch
from orchestrator.model.cluster import ClusterShape, NodeType
from orchestrator.model.events import (
    DemandEvent,
    Event,
    FaultEvent,
    HostEvent,
    NodeEvent,
    NodeState,
    NoteEvent,
    Phase,
    PhaseEvent,
    SettingsEvent,
    TaskEvent,
)
from orchestrator.model.fault import FaultKind
from orchestrator.model.scorecard import ByPart, Quantiles, Scorecard
from orchestrator.model.settings import Settings
from orchestrator.model.trial import Trial
from orchestrator.model.workload import Workload
from orchestrator.sweeps.ledger import SweepRecord, TrialRecord
from orchestrator.trace.tail import Tail

T0 = 1_000_000.0
"""The moment when the tasks of a built trace are submitted, in UNIX seconds."""

HEAD = NodeType(name="head", arch="x86_64", resources={"CPU": 0})
X86 = NodeType(
    name="x86", arch="x86_64", instance_type="m7i.large", resources={"CPU": 2, "Intel": 1}, min_workers=1, max_workers=3
)
ARM = NodeType(
    name="arm",
    arch="arm64",
    instance_type="m8g.xlarge",
    resources={"CPU": 4, "Graviton": 1},
    min_workers=0,
    max_workers=3,
)
SHAPE = ClusterShape(head=HEAD, workers=(X86, ARM), max_workers=6)

ARCHES: dict[str, Arch] = {"x86": "x86_64", "arm": "arm64", "head": "x86_64"}
CPUS = {"x86": 2.0, "arm": 4.0, "head": 0.0}


def trial(
    *, tasks: int = 1, repeat: int = 1, seed: int = 0, workload: dict[str, Any] | None = None, **knobs: Any
) -> Trial:
    """A trial of the local backend on `SHAPE`: `tasks` tasks of 10 s, and settings with these knobs."""
    return Trial(
        backend="local",
        settings=Settings(**knobs),
        shape=SHAPE,
        workload=Workload(**{"tasks": tasks, "seconds": 10, **(workload or {})}),
        repeat=repeat,
        seed=seed,
    )


def node(t: float, name: str, state: NodeState, *, node_type: str = "x86", **more: Any) -> NodeEvent:
    """The node enters `state` at `T0 + t`; its id in Ray is `ray-NAME`."""
    return NodeEvent(
        t=T0 + t,
        node=name,
        node_type=node_type,
        arch=ARCHES[node_type],
        cpus=CPUS[node_type],
        is_head=node_type == "head",
        ray_node_id=f"ray-{name}",
        state=state,
        **more,
    )


def baseline(name: str, *, node_type: str = "x86", since: float = -100.0, **more: Any) -> NodeEvent:
    """A node that is idle when the trace begins, a second before the submission."""
    return node(-1, name, "idle", node_type=node_type, cause="baseline", since=T0 + since, **more)


def life(name: str, node_type: str = "x86", /, **states: float) -> list[Event]:
    """A node's events, such as `life("n1", requested=2, allocated=3, running=8)`."""
    return [node(t, name, state, node_type=node_type) for state, t in states.items()]  # type: ignore[arg-type]


def task(name: str, started: float, ended: float, *, node_type: str = "x86", **more: Any) -> TaskEvent:
    """A task that ran on the node from `T0 + started` to `T0 + ended`, submitted at `T0`."""
    submitted = T0 + more.pop("submitted", 0.0)
    return TaskEvent(
        t=T0 + ended,
        node=f"ray-{name}",
        node_type=node_type,
        arch=ARCHES[node_type],
        submitted=submitted,
        started=T0 + started,
        ended=T0 + ended,
        **more,
    )


def settings_in_force(t: float = -2, *, as_wanted: bool = True) -> SettingsEvent:
    """The autoscaler tells what it has in force."""
    return SettingsEvent(t=T0 + t, in_force={}, as_wanted=as_wanted)


def demand(t: float = 1, **pending: int) -> DemandEvent:
    """So many tasks of one CPU are pending, one if nothing is said."""
    counts = pending or {"CPU=1": 1}
    return DemandEvent(t=T0 + t, pending=counts, pending_cpus=float(sum(counts.values())))


def phase(t: float, name: Phase, detail: str = "") -> PhaseEvent:
    """The trial enters a phase."""
    return PhaseEvent(t=T0 + t, phase=name, detail=detail)


def host(t: float, cpu_percent: float) -> HostEvent:
    """One sample of the host's load."""
    return HostEvent(t=T0 + t, cpu_percent=cpu_percent, load_1m=1.0, memory_available=2**30)


def note(t: float, kind: str, seconds: float = 0.0) -> NoteEvent:
    """The observer notes something."""
    return NoteEvent(t=T0 + t, kind=kind, text=kind, seconds=seconds)


def fault(t: float, name: str, kind: FaultKind = "kill", *, node_type: str = "x86", **more: Any) -> FaultEvent:
    """A fault hits the node at `T0 + t`; with `since` and `until` in seconds after `T0` too."""
    times: dict[str, float] = {key: T0 + more.pop(key) for key in ("since", "until") if key in more}
    stage = "end" if "since" in times else "begin"
    values: dict[str, Any] = {"stage": stage, "detail": f"{kind}@{t:g}", **times, **more}
    return FaultEvent(t=T0 + t, kind=kind, node=name, node_type=node_type, arch=ARCHES[node_type], **values)


def sound(*events: Event | list[Event], end: float = 1000.0) -> list[Event]:
    """A whole trace around `events`, in the order of time: settings in force, demand seen, done at `T0 + end`."""
    flat = [event for group in events for event in (group if isinstance(group, list) else [group])]
    around = [settings_in_force(), demand(), phase(end, "done")]
    return sorted([*around, *flat], key=lambda event: event.t)


def scorecard(makespan_s: float | None = 10.0, **more: Any) -> Scorecard:
    """A valid scorecard of one task that waited a second."""
    values: dict[str, Any] = {
        "makespan_s": makespan_s,
        "node_seconds": ByPart(total=20.0, by_type={"x86": 20.0}, by_arch={"x86_64": 20.0}),
        "cost_usd": ByPart(total=0.125, by_type={"x86": 0.125}, by_arch={"x86_64": 0.125}),
        "task_wait_s": {"all": Quantiles(p50=1.0, p95=1.0, max=1.0, n=1)},
        "tasks": 1,
        "valid": True,
    }
    return Scorecard(**{**values, **more})


def trial_record(trial: Trial, **more: Any) -> TrialRecord:
    """A valid trial of 10 s that is done."""
    values: dict[str, Any] = {
        "sweep_id": "c0ffee00",
        "status": "done",
        "reason": "",
        "started": T0,
        "ended": T0 + 60,
        "trace": "sweeps/c0ffee00/t.jsonl",
        "scorecard": scorecard(),
        **more,
    }
    return TrialRecord(trial=trial, **values)


def sweep_record(*trials: TrialRecord, **more: Any) -> SweepRecord:
    """A sweep that is done."""
    values: dict[str, Any] = {
        "sweep_id": "c0ffee00",
        "name": "",
        "backend": "local",
        "status": "done",
        "created": T0,
        "ended": T0 + 600,
        "spec": {},
        "environment": {"ray": "2.60.0"},
        **more,
    }
    return SweepRecord(trials=trials, **values)


def journal_of(files: ClusterFiles) -> list[dict[str, Any]]:
    """The entries of a cluster's journal so far, as an observer reads them."""
    return [json.loads(line) for line in Tail(files.journal).read()]


# Provider sections that users have in their cluster files. No backend may hand one to Ray.
FOREIGN_PROVIDERS: tuple[dict[str, Any], ...] = (
    {"type": "aws", "region": "us-east-1", "cache_stopped_nodes": False},
    {"type": "gcp", "project_id": "p", "region": "us-west1", "availability_zone": "us-west1-a"},
    {"type": "azure", "location": "westus2", "resource_group": "r"},
    {"type": "local", "head_ip": "10.0.0.1", "worker_ips": ["10.0.0.2"]},
    {"type": "kuberay", "namespace": "default"},
    {"type": "external", "module": "somebody.elses.Provider", "secret": "planted"},
)
