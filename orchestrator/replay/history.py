"""A recorded trace as a workload: what ran, when and for how long, with edits, and what that takes for granted."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, time
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from orchestrator.errors import InputError, SpecError
from orchestrator.model.events import (
    Event,
    NodeEvent,
    NodeTypeEvent,
    NoteEvent,
    PhaseEvent,
    PlacementGroupEvent,
    SettingsEvent,
    StageEvent,
    TaskDetails,
    TaskEvent,
)
from orchestrator.model.group import MAX_TASKS
from orchestrator.model.task_needs import Needs
from orchestrator.model.trial import Trial
from orchestrator.trace.file import check_span, open_trace

MAX_SHAPES = 500
_SHOWN_SHAPES = 5
_LONGEST_S = 86_400.0
_SPAN_S = 7 * 86_400.0
_SHORTEST_S = 0.01
_DIGITS = 2
_INCOMPLETE = ("records_missing", "records_incomplete", "trace_full", "observer_gap")
_ABOUT_NODES = (NodeEvent, NodeTypeEvent, StageEvent, PhaseEvent)


@dataclass(frozen=True)
class Edits:
    """Changes of a recorded workload: a factor for the number of tasks, times of day, and the only shape to keep."""

    scale: float = 1.0
    between: tuple[time, time] | None = None
    only_shape: str | None = None


@dataclass(frozen=True, slots=True)
class RecordedTask:
    """Tasks alike, in UNIX seconds and seconds; `needs` is an index into `History.needs`."""

    ready: float
    seconds: float
    needs: int
    count: int
    in_group: bool = False


@dataclass
class History:
    """The workload and the cluster of a trace. `events` are those about nodes, in the order of `t`."""

    trial: Trial | None
    needs: list[Needs] = field(default_factory=list)
    tasks: list[RecordedTask] = field(default_factory=list)
    groups: list[PlacementGroupEvent] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    settings: Mapping[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    complete: bool = False


def read_history(path: Path) -> History:
    """Read a trace one event at a time. Raises SpecError for a damaged one, InputError for too many shapes."""
    stream = open_trace(path)
    found = History(stream.trial)
    index: dict[object, int] = {}
    first, last = float("inf"), 0.0
    for event in stream.events:
        first, last = min(first, event.t), max(last, event.t)
        if isinstance(event, TaskEvent):
            _add_task(found, index, event, path)
        elif isinstance(event, PlacementGroupEvent):
            found.groups.append(event)
        elif isinstance(event, SettingsEvent):
            found.settings = event.in_force
        elif isinstance(event, NoteEvent) and event.kind in _INCOMPLETE:
            found.notes.append(event.text)
        elif isinstance(event, _ABOUT_NODES):
            found.events.append(event)
            found.complete |= isinstance(event, PhaseEvent) and event.phase == "done"
    check_span(path, stream.trial, min(first, last), last)
    found.events.sort(key=lambda event: event.t)
    return found


def _add_task(found: History, index: dict[object, int], event: TaskEvent, path: Path) -> None:
    try:
        details = TaskDetails.model_validate(event.model_extra or {})
    except ValidationError:
        raise SpecError(str(path), f"damaged: what the task at {event.t:.3f} asks for can't be read") from None
    trial = found.trial
    resources, labels = details.resources, details.labels
    if resources is None:
        own = trial.workload.needs[0] if trial is not None and len(trial.workload.needs) == 1 else Needs()
        resources, labels = {**own.resources, "CPU": event.cpus}, dict(own.labels)
    needs = Needs(resources, labels)
    number = index.setdefault(needs.key, len(index))
    if number == len(found.needs):
        if number == MAX_SHAPES:
            raise InputError(f"{path}: it has tasks of more than {MAX_SHAPES} shapes", "simulate a shorter record")
        found.needs.append(needs)
    ready = event.submitted if details.ready is None else details.ready
    seconds = event.ended - event.started
    found.tasks.append(RecordedTask(ready, seconds, number, event.count, bool(details.group)))
    found.counts["actors"] += details.actor
    found.counts["unfinished"] += details.unfinished
    found.counts["earlier"] += details.earlier
    found.counts["failed"] += 0 if event.ok else event.count


@dataclass(frozen=True)
class Replayed:
    """The groups of a workload as a spec has them, and sentences about what they take for granted."""

    groups: tuple[dict[str, Any], ...]
    assumptions: tuple[str, ...]


def replayed(history: History, edits: Edits, source: str) -> Replayed:
    """Return the recorded workload after its edits. Raises InputError if nothing is left, or it is too large."""
    tasks, said = _chosen(history, edits, source)
    if history.groups and edits.only_shape is None:
        raise InputError(
            f"{source}: it has {len(history.groups)} placement groups, which can't be replayed yet",
            f"leave them out with --only-shape: {_shapes(history)}",
        )
    if history.groups:
        said.append(f"{len(history.groups)} placement groups and what ran in them are left out")
    free = [task for task in tasks if history.needs[task.needs].limiting]
    if len(free) < len(tasks):
        said.append(f"{len(tasks) - len(free)} tasks and actors that need no resources are left out")
    free, scaled = _scaled(free, edits.scale)
    said += scaled
    if not free:
        raise InputError(f"{source}: no task is left to replay", f"it has {_shapes(history) or 'no tasks'}")
    start = min(task.ready for task in free)
    if max(task.ready for task in free) - start > _SPAN_S:
        raise InputError(
            f"{source}: its tasks come over more than {_SPAN_S / 86_400:g} days", "simulate a shorter record"
        )
    if (total := sum(task.count for task in free)) > MAX_TASKS:
        raise InputError(f"{source}: it has {total} tasks, and at most {MAX_TASKS} can be replayed", "--scale-load 0.1")
    if any(task.seconds > _LONGEST_S for task in free):
        said.append(f"what ran for more than {_LONGEST_S / 3600:g} hours runs for that long")
    by_needs: dict[int, list[tuple[float, float]]] = {}
    for task in free:
        at = round(task.ready - start, _DIGITS)
        seconds = min(max(round(task.seconds, _DIGITS), _SHORTEST_S), _LONGEST_S)
        by_needs.setdefault(task.needs, []).extend([(at, seconds)] * task.count)
    groups = [_group(number, history.needs[needs], rows) for number, (needs, rows) in enumerate(by_needs.items(), 1)]
    return Replayed(tuple(groups), (*said, *_taken_for_granted(history)))


def _group(number: int, needs: Needs, rows: Sequence[tuple[float, float]]) -> dict[str, Any]:
    others = {name: amount for name, amount in needs.limiting.items() if name != "CPU"}
    return {
        "name": f"recorded-{number}",
        "tasks": len(rows),
        "cpus": needs.resources.get("CPU", 0.0),
        "resources": others,
        "labels": dict(needs.labels),
        "recorded": rows,
    }


def _chosen(history: History, edits: Edits, source: str) -> tuple[list[RecordedTask], list[str]]:
    """Return the tasks that the edits keep, and sentences about the others."""
    tasks, said = history.tasks, []
    if edits.only_shape is not None:
        wanted = [number for number, needs in enumerate(history.needs) if needs.shape == edits.only_shape]
        tasks = [task for task in tasks if task.needs in wanted and not task.in_group]
        if not tasks:
            raise InputError(
                f"--only-shape: no task of {source} has the shape {edits.only_shape}", f"it has {_shapes(history)}"
            )
        said.append(f"only tasks with {edits.only_shape}: {len(tasks)} of {len(history.tasks)}")
    if edits.between is not None:
        begin, end = edits.between
        before = len(tasks)
        tasks = [task for task in tasks if _is_between(task.ready, begin, end)]
        zone = datetime.now().astimezone().tzname()
        said.append(
            f"only tasks that were submitted between {begin:%H:%M} and {end:%H:%M} ({zone}): {len(tasks)} of {before}"
        )
    return list(tasks), said


def _is_between(t: float, begin: time, end: time) -> bool:
    moment = datetime.fromtimestamp(t).time()
    return begin <= moment < end if begin < end else moment >= begin or moment < end


def _scaled(tasks: Iterable[RecordedTask], factor: float) -> tuple[list[RecordedTask], list[str]]:
    """Return so many times the tasks, spread evenly over them in their order of submission."""
    tasks = sorted(tasks, key=lambda task: (task.ready, task.needs))
    if factor == 1:
        return tasks, []
    scaled, due = [], 0.0
    for task in tasks:
        due += task.count * factor
        if count := int(due + 1e-9):
            due -= count
            scaled.append(RecordedTask(task.ready, task.seconds, task.needs, count))
    return scaled, [f"the load is {factor:g} times the recorded one, at the same times"]


def _shapes(history: History) -> str:
    counts: Counter[str] = Counter()
    for task in history.tasks:
        counts[history.needs[task.needs].shape or "nothing"] += task.count
    shown = [f"{count} x {shape}" for shape, count in counts.most_common(_SHOWN_SHAPES)]
    more = len(counts) - _SHOWN_SHAPES
    return ", ".join(shown) + (f" and {more} more" if more > 0 else "")


def _taken_for_granted(history: History) -> list[str]:
    counts = history.counts
    said = [
        "each task is submitted when it was, and takes as long as it did, whatever the settings; tasks that waited for"
        " others would come at other times",
    ]
    if counts["actors"]:
        said.append(f"{counts['actors']} actors are replayed as tasks that last as long as they lived")
    if counts["failed"]:
        said.append(f"{counts['failed']} attempts that failed are replayed as tasks")
    if counts["earlier"]:
        said.append(f"{counts['earlier']} tasks and actors began before the record: they are replayed from its begin")
    if counts["unfinished"]:
        said.append(f"{counts['unfinished']} tasks and actors outlived the record: they are replayed up to its end")
    said += dict.fromkeys(f"the record is incomplete: {note}" for note in history.notes)
    if not history.complete:
        said.append("the record breaks off: what still ran, and what Ray dropped, isn't known")
    return said
