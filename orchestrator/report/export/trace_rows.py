"""Rows of a trace for export: nodes, tasks, demand, supply, scaling events and faults."""

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from operator import attrgetter

from orchestrator.analysis.trial.aftermath import Aftermath, aftermaths
from orchestrator.analysis.trial.cost import bills
from orchestrator.analysis.trial.node_lives import NodeLife, node_lives, stacked
from orchestrator.analysis.trial.steps import StepFunction
from orchestrator.analysis.trial.waterfall import Waterfall, waterfalls
from orchestrator.analysis.trial.window import Window, measured, submission
from orchestrator.model.arch import Arch
from orchestrator.model.events import Event, NodeEvent, NodeState, TaskEvent
from orchestrator.model.prices import Prices
from orchestrator.model.trial import Trial

_LAUNCHING: frozenset[NodeState] = frozenset({"requested", "allocated", "installing"})
_DIGITS = 6  # microseconds: what a UNIX time can hold


class Recorded:
    """A trial and its events, in the order of `t`, as the tables take them; `start` is the submission, if known."""

    def __init__(self, sweep_id: str, trial: Trial, events: tuple[Event, ...], prices: Prices | None) -> None:
        self.sweep_id = sweep_id
        self.trial_id = trial.trial_id
        self.trial = trial
        self.events = events
        self.prices = prices
        self.tasks = [event for event in events if isinstance(event, TaskEvent)]
        self.start = submission(events)
        self.window = measured(trial, events)
        self.lives = node_lives(events)
        self.by_ray_id = {life.ray_node_id: life for life in self.lives if life.ray_node_id}

    def elapsed(self, t: float | None) -> float | None:
        """Return a UNIX time in seconds after the submission."""
        return None if t is None or self.start is None else round(t - self.start, _DIGITS)


@dataclass(frozen=True)
class NodeRow:
    """A worker node: `billed_s` and `usd` as the scorecard counts them."""

    recorded: Recorded
    life: NodeLife
    waterfall: Waterfall
    launched: bool | None
    billed_s: float | None
    usd: float | None


@dataclass(frozen=True)
class TaskRow:
    """Tasks alike, and the node that ran them, if the trace holds it."""

    recorded: Recorded
    task: TaskEvent
    life: NodeLife | None

    @property
    def arch(self) -> Arch:
        """The architecture on which they ran."""
        return self.task.arch if self.life is None else self.life.arch


@dataclass(frozen=True)
class StepRow:
    """Levels of one architecture from `t` (UNIX seconds) until the trial's next row of that architecture."""

    recorded: Recorded
    t: float
    arch: Arch
    levels: Mapping[str, float]


@dataclass(frozen=True)
class EventRow:
    """A scaling event."""

    recorded: Recorded
    event: NodeEvent

    @property
    def t(self) -> float:
        """The time at which the state was entered; the first events of a trace give it as `since`."""
        return self.event.t if self.event.since is None else self.event.since


@dataclass(frozen=True)
class FaultRow:
    """A fault on purpose, and what followed."""

    recorded: Recorded
    told: Aftermath


def node_rows(recorded: Recorded) -> list[NodeRow]:
    """Return the worker nodes, in the order of their first event."""
    window = recorded.window
    launched = {life.node for life in window.launched} if window else set()
    billed = _billed(window, recorded.prices) if window else {}
    return [
        NodeRow(
            recorded,
            life,
            waterfall,
            launched=life.node in launched if window else None,
            billed_s=billed.get(life.node, (0.0, 0.0))[0] if window else None,
            usd=billed.get(life.node, (0.0, 0.0))[1] if window and recorded.prices else None,
        )
        for life, waterfall in zip(
            recorded.lives, waterfalls(recorded.trial, recorded.lives, recorded.tasks), strict=True
        )
    ]


def _billed(window: Window, prices: Prices | None) -> dict[str, tuple[float, float | None]]:
    counted = bills(window.lives, prices or Prices(usd_per_hour={}), window.start, window.accounted, window.last)
    return {bill.life.node: (round(bill.seconds, _DIGITS), bill.usd) for bill in counted}


def task_rows(recorded: Recorded) -> list[TaskRow]:
    """Return the tasks that ended, in the order of their ends."""
    return [TaskRow(recorded, task, recorded.by_ray_id.get(task.node)) for task in recorded.tasks]


def demand_rows(recorded: Recorded) -> list[StepRow]:
    """Return the demand by the architecture on which it ran in the end."""
    by_arch: dict[Arch, list[TaskEvent]] = defaultdict(list)
    for row in task_rows(recorded):
        by_arch[row.arch].append(row.task)

    def of(begin: str, end: str, cpus: bool) -> dict[Arch, StepFunction]:
        span = attrgetter(begin, end)
        return {
            arch: stacked(([span(task)], task.count * (task.cpus if cpus else 1.0)) for task in tasks)
            for arch, tasks in by_arch.items()
        }

    levels = {
        "pending_tasks": of("submitted", "started", cpus=False),
        "running_tasks": of("started", "ended", cpus=False),
        "pending_cpus": of("submitted", "started", cpus=True),
        "running_cpus": of("started", "ended", cpus=True),
    }
    return list(_step_rows(recorded, levels))


def supply_rows(recorded: Recorded) -> list[StepRow]:
    """Return the worker nodes that can run tasks, and those on their way; what isn't seen to end doesn't."""
    by_arch: dict[Arch, list[NodeLife]] = defaultdict(list)
    for life in recorded.lives:
        by_arch[life.arch].append(life)
    levels = {
        "nodes": {arch: stacked((life.alive(math.inf), 1.0) for life in lives) for arch, lives in by_arch.items()},
        "cpus": {arch: stacked((life.alive(math.inf), life.cpus) for life in lives) for arch, lives in by_arch.items()},
        "launching": {
            arch: stacked((life.intervals(_LAUNCHING, math.inf), 1.0) for life in lives)
            for arch, lives in by_arch.items()
        },
    }
    return list(_step_rows(recorded, levels))


def event_rows(recorded: Recorded) -> list[EventRow]:
    """Return the scaling events, in the order of their discovery."""
    return [EventRow(recorded, event) for event in recorded.events if isinstance(event, NodeEvent)]


def fault_rows(recorded: Recorded) -> list[FaultRow]:
    """Return the faults on purpose, in their order."""
    return [FaultRow(recorded, told) for told in aftermaths(recorded.events, recorded.lives)]


def _step_rows(recorded: Recorded, levels: Mapping[str, Mapping[Arch, StepFunction]]) -> Iterator[StepRow]:
    """Yield a row for each architecture whenever any level changes, so that sums over them are right."""
    every = [steps for by_arch in levels.values() for steps in by_arch.values()]
    times = sorted({t for steps in every for t in steps.times if t < math.inf})
    walks = {name: {arch: steps.walk() for arch, steps in by_arch.items()} for name, by_arch in levels.items()}
    arches = sorted({arch for by_arch in levels.values() for arch in by_arch})
    before: list[dict[str, float]] = []
    for t in times:
        now = [{name: by_arch[arch](t) for name, by_arch in walks.items()} for arch in arches]
        if now != before:
            yield from (StepRow(recorded, t, arch, level) for arch, level in zip(arches, now, strict=True))
        before = now
