"""Reasons for a trial's launches, and for demand without a node: from the trace, by the rules of Ray's autoscalers."""

import math
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from orchestrator.analysis.trial.node_lives import NodeLife, node_lives
from orchestrator.analysis.trial.window import submission
from orchestrator.model.cluster import ClusterShape, NodeType
from orchestrator.model.events import ALIVE_STATES, DemandEvent, Event, NodeEvent, NodeState
from orchestrator.model.resource_shape import needs_of
from orchestrator.model.trial import Trial

Rule = Literal["demand", "speed", "launch cap", "type limit", "total limit", "min_workers"]
Reason = Literal[
    "infeasible",
    "type limit",
    "total limit",
    "launch cap",
    "speed",
    "no capacity",
    "back-off",
    "on its way",
    "idle rule",
]

# In one update, requests follow each other closely.
_SAME_UPDATE_S = 1.0
# v1 lets this many nodes of a type be pending, whatever the speed: AUTOSCALER_UPSCALING_INITIAL_NUM_NODES.
_V1_FLOOR = 5
# v1 prefers other types for so long after a launch failed: AUTOSCALER_NODE_AVAILABILITY_MAX_STALENESS_S.
_V1_BACK_OFF_S = 1800.0
_PENDING: frozenset[NodeState] = frozenset({"requested", "allocated", "installing"})


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
class Obstacle:
    """A reason why no node comes, or none ends: for a shape of demand (`CPU=1`), for a node type, or for both."""

    demand: str
    node_type: str
    reason: Reason
    text: str


@dataclass(frozen=True)
class State:
    """The cluster at one moment: demand without a node, nodes by type and state, and why no other node comes."""

    t: float
    pending: Mapping[str, int]
    nodes: Mapping[str, Mapping[str, int]]
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
    """A trial's trace, with the state at any time."""

    def __init__(self, trial: Trial, events: Sequence[Event], start: float) -> None:
        self._trial, self._start = trial, start
        self._shape: ClusterShape = trial.shape
        self._lives = node_lives(events)
        self._demand = [event for event in events if isinstance(event, DemandEvent)]
        self._demand_times = [event.t for event in self._demand]
        self._events = [event for event in events if isinstance(event, NodeEvent) and not event.is_head]

    # Why nodes came

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
            if update and item[0] - update[0][0] >= _SAME_UPDATE_S:
                yield from self._update(update)
                update = []
            update.append(item)
        if update:
            yield from self._update(update)

    def _update(self, update: Sequence[tuple[float, NodeLife]]) -> Iterable[Launch]:
        t, in_all = update[0][0], len(update)
        by_type: dict[str, list[NodeLife]] = {}
        for _, life in update:
            by_type.setdefault(life.node_type, []).append(life)
        before = 0
        for node_type, lives in by_type.items():
            rules, text = self._rules(t, node_type, lives, before, in_all)
            yield Launch(
                t=t - self._start,
                node_type=node_type,
                nodes=tuple(life.node for life in lives),
                pending=self._pending_at(t),
                rules=rules,
                text=text,
                failed=sum(1 for life in lives if life.never_ran),
            )
            before += len(lives)

    def _rules(
        self, t: float, node_type: str, lives: Sequence[NodeLife], before: int, in_all: int
    ) -> tuple[tuple[Rule, ...], str]:
        """Return the rules that were reached by these nodes; `before` others were requested in the same update."""
        count, ids = len(lives), {life.node for life in lives}
        cause = next((event.cause for event in self._events if event.node in ids and event.state == "requested"), "")
        pending = self._pending_at(t)
        wanted = _listed(f"{number} x {shape}" for shape, number in pending.items()) or "none was recorded"
        if cause == "min_workers" and not pending:
            least = self._limit(node_type, "min_workers")
            return ("min_workers",), f"min_workers is {least}"
        found: list[Rule] = []
        words = []
        allowed, why = self._allowed_by_speed(t, node_type)
        if count >= allowed:
            found.append("speed")
            words.append(why)
        cap = self._trial.settings.max_concurrent_launches
        launching = self._count(t, None, frozenset({"requested"})) + before
        if count + launching >= cap:
            found.append("launch cap")
            words.append(f"max_concurrent_launches is {cap}, with {launching} launching before")
        most = self._limit(node_type, "max_workers")
        if self._existing(t, node_type) + count >= most:
            found.append("type limit")
            words.append(f"the type's max_workers is {most}")
        if self._existing(t, None) + in_all >= self._shape.max_workers:
            found.append("total limit")
            words.append(f"the cluster's max_workers is {self._shape.max_workers}")
        if not found:
            return ("demand",), f"demand {wanted}: no more nodes were needed"
        return tuple(found), f"demand {wanted}: no more, because {' and '.join(words)}"

    def _allowed_by_speed(self, t: float, node_type: str) -> tuple[float, str]:
        """Return how many nodes of a type an update may launch, and the rule in words."""
        speed = self._trial.settings.effective_upscaling_speed
        speed = 1.0 if speed is None else speed
        running = self._count(t, node_type, ALIVE_STATES)
        if self._trial.settings.autoscaler == "v2":
            allowed = max(1, math.ceil(speed * max(running, 1)))
            return allowed, f"speed {speed:g} with {running} running allows {allowed} in one update"
        most, pending = max(_V1_FLOOR, int(speed * max(running, 1))), self._count(t, node_type, _PENDING)
        text = f"speed {speed:g} with {running} running allows {most} pending, of which there were {pending}"
        return max(0, most - pending), text

    # Why nodes went

    def ends(self) -> Iterable[End]:
        groups: dict[tuple[int, str, str], list[tuple[float, str]]] = {}
        gone: set[str] = set()
        ran = {life.node for life in self._lives if not life.never_ran}
        for event in self._events:
            ends = event.state in ("draining", "terminated", "failed")
            if not ends or event.node in gone or event.node not in ran or event.t < self._start:
                continue
            gone.add(event.node)
            key = (int((event.t - self._start) // _SAME_UPDATE_S), event.node_type, event.cause or event.state)
            groups.setdefault(key, []).append((event.t - self._start, event.node))
        for (_, node_type, cause), nodes in groups.items():
            yield End(min(t for t, _ in nodes), node_type, tuple(node for _, node in nodes), cause)

    # Why none comes

    def state(self, t: float) -> State:
        moment = self._start + t
        pending = self._pending_at(moment)
        nodes: dict[str, dict[str, int]] = {}
        for life in self._lives:
            if (state := _state_at(life, moment)) is not None:
                of_type = nodes.setdefault(life.node_type, {})
                of_type[state] = of_type.get(state, 0) + 1
        obstacles = [each for shape in pending for each in self._obstacles(moment, shape)]
        if not pending:
            obstacles = list(self._idle(moment))
        return State(t, pending, nodes, tuple(obstacles))

    def _obstacles(self, t: float, demand: str) -> Iterable[Obstacle]:
        needs, labels = needs_of(demand), self._trial.workload.labels
        able = [worker for worker in self._shape.workers if worker.fits(needs, labels)]
        if not able:
            have = _listed(f"{worker.name}: {_resources(worker)}" for worker in self._shape.workers)
            only = "only the head holds it" if self._shape.head.fits(needs, labels) else "no node type holds it"
            yield Obstacle(demand, "", "infeasible", f"{only} ({have})")
        for worker in able:
            yield from (Obstacle(demand, worker.name, reason, text) for reason, text in self._obstacles_of(t, worker))

    def _obstacles_of(self, t: float, worker: NodeType) -> Iterable[tuple[Reason, str]]:
        existing, most = self._existing(t, worker.name), self._limit(worker.name, "max_workers")
        on_the_way = self._count(t, worker.name, _PENDING)
        if on_the_way:
            yield "on its way", f"{on_the_way} of this type are being launched"
        if failed := self._failed_before(t, worker.name):
            life, detail = failed[-1]
            ago = t - life
            yield (
                "no capacity",
                f"{len(failed)} launch{'' if len(failed) == 1 else 'es'} failed, the last {ago:.0f} s before"
                + (f": {detail}" if detail else ""),
            )
            if self._trial.settings.autoscaler == "v1" and ago < _V1_BACK_OFF_S:
                left = _V1_BACK_OFF_S - ago
                yield "back-off", f"v1 prefers other types for another {left:.0f} s after a failed launch"
        if existing >= most:
            yield "type limit", f"{existing} of at most {most} of this type exist or are being launched"
            return
        in_all = self._existing(t, None)
        if in_all >= self._shape.max_workers:
            yield "total limit", f"{in_all} of at most {self._shape.max_workers} workers exist or are being launched"
            return
        cap = self._trial.settings.max_concurrent_launches
        if (launching := self._count(t, None, frozenset({"requested"}))) >= cap:
            yield "launch cap", f"{launching} launches are requested, and max_concurrent_launches is {cap}"
            return
        allowed, why = self._allowed_by_speed(t, worker.name)
        if allowed <= 0:
            yield "speed", why
        elif not on_the_way and not failed:
            interval = self._trial.settings.update_interval_s
            yield "speed", f"{why}; the next update is up to {interval:g} s away"

    def _idle(self, t: float) -> Iterable[Obstacle]:
        """Say of idle nodes when they may end."""
        minutes = self._trial.settings.idle_timeout_minutes
        for worker in self._shape.workers:
            idle = [life for life in self._lives if life.node_type == worker.name and _state_at(life, t) == "idle"]
            if not idle:
                continue
            existing, timeout = self._existing(t, worker.name), 60 * (5.0 if minutes is None else minutes)
            longest = max(t - max(at for at, state in life.states if at <= t and state == "idle") for life in idle)
            least = self._limit(worker.name, "min_workers")
            kept = f"; min_workers keeps {least}" if least else ""
            yield Obstacle(
                "",
                worker.name,
                "idle rule",
                f"{len(idle)} of {existing} are idle, for up to {longest:.0f} s; a node ends after {timeout:g} s{kept}",
            )

    # Looking things up

    def _pending_at(self, t: float) -> dict[str, int]:
        """Return the newest demand that was reported by then."""
        position = bisect_right(self._demand_times, t) - 1
        found = self._demand[position].pending if position >= 0 else {}
        return {shape: count for shape, count in found.items() if count}

    def _count(self, t: float, node_type: str | None, states: frozenset[NodeState]) -> int:
        """Count the nodes in these states just before `t`."""
        return sum(
            1
            for life in self._lives
            if node_type in (None, life.node_type) and _state_at(life, t, before=True) in states
        )

    def _existing(self, t: float, node_type: str | None) -> int:
        return self._count(t, node_type, ALIVE_STATES | _PENDING | {"draining"})

    def _failed_before(self, t: float, node_type: str) -> list[tuple[float, str]]:
        """Return time and detail of the launches of a type that had failed by then."""
        never_ran = {life.node for life in self._lives if life.never_ran}
        return [
            (event.t, event.detail)
            for event in self._events
            if event.state == "failed" and event.node_type == node_type and event.node in never_ran and event.t <= t
        ]

    def _limit(self, node_type: str, which: Literal["min_workers", "max_workers"]) -> int:
        found = self._shape.node_type(node_type)
        if found is None:
            return 0
        return found.min_workers if which == "min_workers" else found.max_workers


def _state_at(life: NodeLife, t: float, *, before: bool = False) -> NodeState | None:
    """Return the state of a node at `t`, or just before it; None before its first and after its last."""
    entered = [state for at, state in life.states if at < t or (at == t and not before)]
    return None if not entered or entered[-1] in ("terminated", "failed") else entered[-1]


def _resources(worker: NodeType) -> str:
    return ", ".join(f"{name}={amount:g}" for name, amount in worker.resources.items())


def _listed(parts: Iterable[str]) -> str:
    return ", ".join(parts)
