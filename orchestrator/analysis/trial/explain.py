"""Reasons for a trial's launches, and for demand without a node: from the trace, by the rules of Ray's autoscalers."""

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from orchestrator.analysis.trial.node_lives import NodeLife, node_lives
from orchestrator.analysis.trial.scaling_rules import (
    SAME_UPDATE_S,
    FailedLaunches,
    Moment,
    Obstacle,
    Rule,
    launch_rules,
    obstacles,
)
from orchestrator.analysis.trial.window import submission
from orchestrator.model.events import DemandEvent, Event, NodeEvent, NodeState
from orchestrator.model.trial import Trial


@dataclass(frozen=True)
class Launch:
    """Nodes of one type that one update requested, `t` seconds after the submission.

    `rules` say why there were as many and no more; `text` says it in words. `failed` counts those that never ran.
    """

    t: float
    node_type: str
    nodes: tuple[str, ...]
    pending: Mapping[str, int]
    rules: tuple[Rule, ...]
    text: str
    failed: int


@dataclass(frozen=True)
class End:
    """Nodes of one type that were drained or ended for one cause, `t` seconds after the submission."""

    t: float
    node_type: str
    nodes: tuple[str, ...]
    cause: str


@dataclass(frozen=True)
class State:
    """The cluster at one moment: demand without a node, nodes by type and state, and why no other node comes."""

    t: float
    pending: Mapping[str, int]
    nodes: Mapping[str, Mapping[NodeState, int]]
    obstacles: tuple[Obstacle, ...]


@dataclass(frozen=True)
class Explanation:
    """All launches and ends of a trial, in the order of time, and the state after the last launch."""

    launches: tuple[Launch, ...]
    ends: tuple[End, ...]
    after: State | None


def explain(trial: Trial, events: Sequence[Event]) -> Explanation | None:
    """Return why nodes came and went; None if no task was submitted. Events are in the order of `t`."""
    start = submission(events)
    if start is None:
        return None
    story = _Story(trial, events, start)
    launches = tuple(story.launches())
    asked = [event.t for event in events if isinstance(event, DemandEvent) and event.pending_cpus > 0]
    last = launches[-1].t if launches else (asked[0] - start if asked else None)
    after = None if last is None else story.state(last + trial.settings.update_interval_s)
    return Explanation(launches, tuple(story.ends()), after)


def explain_at(trial: Trial, events: Sequence[Event], t: float) -> State | None:
    """Return the state `t` seconds after the submission, and why no other node comes; None without a submission."""
    start = submission(events)
    return None if start is None else _Story(trial, events, start).state(t)


class _Story:
    """A trial's trace, with the cluster at any time."""

    def __init__(self, trial: Trial, events: Sequence[Event], start: float) -> None:
        self._trial, self._start = trial, start
        self._lives = node_lives(events)
        self._demand = [event for event in events if isinstance(event, DemandEvent)]
        self._demand_times = [event.t for event in self._demand]
        self._events = [event for event in events if isinstance(event, NodeEvent) and not event.is_head]
        self._causes = {event.node: event.cause for event in self._events if event.state == "requested"}
        never_ran = {life.node for life in self._lives if life.never_ran}
        self._failures = [event for event in self._events if event.state == "failed" and event.node in never_ran]

    def launches(self) -> Iterable[Launch]:
        requested: list[tuple[float, NodeLife]] = sorted(
            (
                (life.states[0][0], life)
                for life in self._lives
                if not life.baseline and life.states[0][0] >= self._start
            ),
            key=lambda item: item[0],
        )
        update: list[tuple[float, NodeLife]] = []
        for item in requested:
            if update and item[0] - update[0][0] >= SAME_UPDATE_S:
                yield from self._update(update)
                update = []
            update.append(item)
        if update:
            yield from self._update(update)

    def _update(self, update: Sequence[tuple[float, NodeLife]]) -> Iterable[Launch]:
        t, by_type = update[0][0], dict[str, list[NodeLife]]()
        for _, life in update:
            by_type.setdefault(life.node_type, []).append(life)
        before = self._moment(t, before=True)
        requested = {node_type: len(lives) for node_type, lives in by_type.items()}
        of_minimum = [name for name, lives in by_type.items() if self._causes.get(lives[0].node) == "min_workers"]
        for node_type, rules, text in launch_rules(self._trial, before, requested, of_minimum):
            lives = by_type[node_type]
            yield Launch(
                t=t - self._start,
                node_type=node_type,
                nodes=tuple(life.node for life in lives),
                pending=before.pending,
                rules=rules,
                text=text,
                failed=sum(1 for life in lives if life.never_ran),
            )

    def ends(self) -> Iterable[End]:
        groups: dict[tuple[int, str, str], list[tuple[float, str]]] = {}
        gone: set[str] = set()
        ran = {life.node for life in self._lives if not life.never_ran}
        for event in self._events:
            ends = event.state in ("draining", "terminated", "failed")
            if not ends or event.node in gone or event.node not in ran or event.t < self._start:
                continue
            gone.add(event.node)
            key = (int((event.t - self._start) // SAME_UPDATE_S), event.node_type, event.cause or event.state)
            groups.setdefault(key, []).append((event.t - self._start, event.node))
        for (_, node_type, cause), nodes in groups.items():
            yield End(min(t for t, _ in nodes), node_type, tuple(node for _, node in nodes), cause)

    def state(self, t: float) -> State:
        moment = self._moment(self._start + t)
        return State(t, moment.pending, moment.nodes, tuple(obstacles(self._trial, moment)))

    def _moment(self, t: float, *, before: bool = False) -> Moment:
        """Return the cluster at `t`, or just before an update's requests, with the newest demand reported by then."""
        position = bisect_right(self._demand_times, t) - 1
        pending = self._demand[position].pending if position >= 0 else {}
        failed: dict[str, FailedLaunches] = {}
        for event in self._failures:
            if event.t <= t:
                failed[event.node_type] = failed.get(event.node_type, FailedLaunches()).and_one(event.t, event.detail)
        there = ((life, _entry_at(life, t, before=before)) for life in self._lives)
        return Moment.of(t, pending, ((life, entry[1], entry[0]) for life, entry in there if entry is not None), failed)


def _entry_at(life: NodeLife, t: float, *, before: bool) -> tuple[float, NodeState] | None:
    """Return a node's state at `t` and since when; None before its first and after its last.

    With `before`, a node that appears at `t` isn't there yet: an update sees what changed until then, and requests.
    """
    if before and life.states[0][0] >= t:
        return None
    entered = [entry for entry in life.states if entry[0] <= t]
    return None if not entered or entered[-1][1] in ("terminated", "failed") else entered[-1]
