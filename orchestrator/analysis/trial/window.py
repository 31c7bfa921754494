"""The measured window of a trace: from the submission of the tasks until the cluster is back at its minimum size."""

from collections.abc import Sequence
from dataclasses import dataclass

from orchestrator.analysis.trial.node_lives import NodeLife, node_lives, stacked
from orchestrator.model.events import Event, PhaseEvent, TaskEvent
from orchestrator.model.trial import Trial


@dataclass(frozen=True)
class Window:
    """The measured window, in UNIX seconds, and the worker nodes that were there in it or later.

    `start` is the first task's submission, `end` the last one's end, or those of a job; the cluster is back at
    `min_workers` from `settled` on, if the trace shows it; the trace ends at `last`. `heads` has the head if it can run
    the tasks.
    """

    start: float
    end: float
    settled: float | None
    last: float
    lives: tuple[NodeLife, ...]
    heads: tuple[NodeLife, ...] = ()

    @property
    def accounted(self) -> float:
        """The end of the time in which node-seconds and dollars count."""
        return self.last if self.settled is None else self.settled

    @property
    def suppliers(self) -> tuple[NodeLife, ...]:
        """The nodes whose CPUs the tasks can use."""
        return (*self.lives, *self.heads)

    @property
    def launched(self) -> list[NodeLife]:
        """The nodes that the autoscaler asked for in answer to the workload, or at least after its submission."""
        return [life for life in self.lives if not life.baseline and life.states[0][0] >= self.start]


def submission(events: Sequence[Event]) -> float | None:
    """Return when the first task was submitted; of a trial none of whose tasks ended, when that is noted; else None."""
    submitted = (event.submitted for event in events if isinstance(event, TaskEvent))
    noted = (event.t for event in events if isinstance(event, PhaseEvent) and event.phase == "running")
    return min(submitted, default=min(noted, default=None))


def measured(trial: Trial, events: Sequence[Event]) -> Window | None:
    """Return the window of a trial from its events, in the order of `t`; None if it has none.

    A job's window is from its submission to its own end, also where Ray recorded no task.
    """
    span = _of_tasks(events) if trial.workload.job is None else _of_job(events)
    if span is None:
        return None
    start, end = span
    last = max(max(event.t for event in events), end)
    lives = tuple(life for life in node_lives(events) if _last_time(life, last) > start)
    # The trace may end with the very event that brings the cluster back, while nodes that live on end with the trace.
    existing = stacked((life.billed(last + 1), 1.0) for life in lives)
    settled = existing.settles_at_most(sum(trial.shape.baseline.values()), end, last + 1)
    head_runs_tasks = trial.shape.head_cpus_for(trial.workload.needs) > 0
    heads = tuple(node_lives(events, heads=True)) if head_runs_tasks else ()
    return Window(start, end, settled, last, lives, heads)


def _of_tasks(events: Sequence[Event]) -> tuple[float, float] | None:
    tasks = [event for event in events if isinstance(event, TaskEvent)]
    return (min(task.submitted for task in tasks), max(task.ended for task in tasks)) if tasks else None


def _of_job(events: Sequence[Event]) -> tuple[float, float] | None:
    began = {event.phase: event.t for event in events if isinstance(event, PhaseEvent)}
    return (began["running"], began["scaling_down"]) if {"running", "scaling_down"} <= began.keys() else None


def _last_time(life: NodeLife, last: float) -> float:
    final = life.first("terminated") or life.first("failed")
    return final if final is not None else last
