"""Series for a trial's plots: demand, supply, nodes and CPUs in use as exact step functions of elapsed time."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from orchestrator.analysis.trial.aftermath import Aftermath, aftermaths
from orchestrator.analysis.trial.node_lives import Interval, NodeLife, stacked
from orchestrator.analysis.trial.steps import StepFunction
from orchestrator.analysis.trial.window import measured
from orchestrator.model.arch import Arch
from orchestrator.model.events import Event, NodeState, TaskEvent
from orchestrator.model.fault import FaultKind
from orchestrator.model.trial import Trial

T = TypeVar("T")

# The transitions that are scaling; `running` and `idle` alternate with the load, so only the first of them counts.
_SCALING: tuple[NodeState, ...] = ("requested", "running", "draining", "terminated", "failed")


@dataclass(frozen=True)
class Mark:
    """A scaling event: the node entered `state` at `t`, in seconds after the submission."""

    t: float
    node: str
    node_type: str
    arch: Arch
    state: NodeState


@dataclass(frozen=True)
class Span:
    """A node was in `state` from `begin` to `end`, in seconds after the submission.

    `stages` began meanwhile: finer stages of a launch, where the trace tells them.
    """

    node: str
    node_type: str
    arch: Arch
    state: NodeState
    begin: float
    end: float
    stages: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True)
class Hit:
    """A fault on purpose, in seconds after the submission; `Aftermath` says what the times are."""

    t: float
    node: str
    node_type: str
    arch: Arch
    kind: FaultKind
    detail: str
    tasks: int | None
    until: float | None
    lost: float | None
    replaced: float | None


@dataclass(frozen=True)
class Series:
    """One trial over time. All times are seconds after the first task was submitted; the trace ends at `until_s`.

    `demand` counts the CPUs of running and pending tasks, of which the cluster's limits allow to serve `servable_cpus`;
    `supply` the CPUs of nodes that can run tasks. `nodes`, `capacity` and `used` are workers, the CPUs of nodes and the
    CPUs of running tasks, by arch. `spans` are in the order of the nodes' first event.
    """

    makespan_s: float
    until_s: float
    servable_cpus: float
    pending_tasks: StepFunction
    demand: StepFunction
    supply: StepFunction
    nodes: Mapping[Arch, StepFunction]
    capacity: Mapping[Arch, StepFunction]
    used: Mapping[Arch, StepFunction]
    marks: tuple[Mark, ...]
    spans: tuple[Span, ...]
    hits: tuple[Hit, ...] = ()

    @property
    def arches(self) -> list[Arch]:
        """The architectures that take part, x86_64 before arm64."""
        return sorted(self.nodes.keys() | self.used.keys(), key=("x86_64", "arm64", "unknown").index)


def series(trial: Trial, events: Sequence[Event]) -> Series | None:
    """Return the series of a trial from its events, in the order of `t`; None if no task was recorded."""
    window = measured(trial, events)
    if window is None:
        return None
    start, last, lives = window.start, window.last, window.lives
    tasks = [event for event in events if isinstance(event, TaskEvent)]
    arch_of = {life.ray_node_id: life.arch for life in window.suppliers if life.ray_node_id}

    def elapsed(intervals: Iterable[Interval]) -> list[Interval]:
        return [(begin - start, end - start) for begin, end in intervals]

    def supplied(chosen: Iterable[NodeLife]) -> StepFunction:
        return stacked((elapsed(life.alive(last)), life.cpus) for life in chosen)

    def used(chosen: Iterable[TaskEvent]) -> StepFunction:
        return stacked((elapsed([(task.started, task.ended)]), task.count * task.cpus) for task in chosen)

    lives_by_arch = _grouped((life.arch, life) for life in lives)
    suppliers_by_arch = _grouped((life.arch, life) for life in window.suppliers)
    tasks_by_arch = _grouped((arch_of.get(task.node, task.arch), task) for task in tasks)
    return Series(
        makespan_s=window.end - start,
        until_s=last - start,
        servable_cpus=trial.shape.max_cpus_for(trial.workload.needs),
        pending_tasks=stacked((elapsed([(task.submitted, task.started)]), task.count) for task in tasks),
        demand=stacked((elapsed([(task.submitted, task.ended)]), task.count * task.cpus) for task in tasks),
        supply=supplied(window.suppliers),
        nodes={arch: stacked((elapsed(life.alive(last)), 1.0) for life in own) for arch, own in lives_by_arch.items()},
        capacity={arch: supplied(own) for arch, own in suppliers_by_arch.items()},
        used={arch: used(own) for arch, own in tasks_by_arch.items()},
        marks=tuple(mark for life in lives for mark in _marks(life, start)),
        spans=tuple(span for life in lives for span in _spans(life, start, last)),
        hits=tuple(_hit(each, start) for each in aftermaths(events, lives)),
    )


def _grouped(pairs: Iterable[tuple[Arch, T]]) -> dict[Arch, list[T]]:
    groups: dict[Arch, list[T]] = defaultdict(list)
    for key, value in pairs:
        groups[key].append(value)
    return dict(groups)


def _marks(life: NodeLife, start: float) -> Iterable[Mark]:
    """Return the node's scaling events from the submission on; a node that existed before begins with none."""
    for state in _SCALING:
        t = life.first(state)
        if t is not None and t >= start and not (life.baseline and state == "running"):
            yield Mark(t - start, life.node, life.node_type, life.arch, state)


def _hit(told: Aftermath, start: float) -> Hit:
    def elapsed(t: float | None) -> float | None:
        return None if t is None else t - start

    fault = told.fault
    return Hit(
        t=fault.t - start,
        node=fault.node,
        node_type=fault.node_type,
        arch=fault.arch,
        kind=fault.kind,
        detail=fault.detail,
        tasks=fault.tasks,
        until=elapsed(told.until),
        lost=elapsed(told.lost),
        replaced=elapsed(told.replaced),
    )


def _spans(life: NodeLife, start: float, last: float) -> Iterable[Span]:
    """Its states from the submission on. A failed node's machine is there until it is ended, if that is known."""
    ends = [*(t for t, _ in life.states[1:]), last]
    for (begin, state), end in zip(life.states, ends, strict=True):
        gone = state == "terminated" or (state == "failed" and life.first("terminated") is None)
        if not gone and end > max(begin, start):
            stages = sorted((t, name) for name, t in life.stages.items() if begin <= t < end)
            yield Span(
                life.node,
                life.node_type,
                life.arch,
                state,
                max(begin, start) - start,
                end - start,
                tuple((name, max(t, start) - start) for t, name in stages),
            )
