"""The rules by which Ray's autoscalers launch a node or don't, applied to one moment of a trial."""

import math
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from orchestrator.analysis.trial.node_lives import NodeLife
from orchestrator.model.cluster import NodeType
from orchestrator.model.events import ALIVE_STATES, NodeState
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

SAME_UPDATE_S = 1.0
"""In one update, requests follow each other closely."""

# v1 lets this many nodes of a type be pending, whatever the speed: AUTOSCALER_UPSCALING_INITIAL_NUM_NODES.
_V1_FLOOR = 5
# v1 prefers other types for so long after a launch failed: AUTOSCALER_NODE_AVAILABILITY_MAX_STALENESS_S.
_V1_BACK_OFF_S = 1800.0
_REQUESTED: frozenset[NodeState] = frozenset({"requested"})
_IDLE: frozenset[NodeState] = frozenset({"idle"})
_PENDING: frozenset[NodeState] = frozenset({"requested", "allocated", "installing"})
_EXISTING: frozenset[NodeState] = ALIVE_STATES | _PENDING | {"draining"}


@dataclass(frozen=True)
class FailedLaunches:
    """Launches of a node type that failed: how many, and time (UNIX seconds) and detail of the last one."""

    count: int = 0
    last: float = -math.inf
    detail: str = ""

    def and_one(self, t: float, detail: str) -> "FailedLaunches":
        """Return these and another one."""
        return FailedLaunches(self.count + 1, t, detail)


@dataclass(frozen=True)
class Moment:
    """A cluster at `t`, UNIX seconds: its waiting tasks by shape, and its nodes by type and state.

    `idle_since` says for each type since when its longest idle node is idle.
    """

    t: float
    pending: Mapping[str, int]
    nodes: Mapping[str, Mapping[NodeState, int]]
    idle_since: Mapping[str, float] = field(default_factory=dict)
    failed: Mapping[str, FailedLaunches] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        t: float,
        pending: Mapping[str, int],
        nodes: Iterable[tuple[NodeLife, NodeState, float]],
        failed: Mapping[str, FailedLaunches],
    ) -> "Moment":
        """Return the moment with these nodes, each with its state and the time when it entered it."""
        counts: dict[str, dict[NodeState, int]] = {}
        idle_since: dict[str, float] = {}
        for life, state, since in nodes:
            of_type = counts.setdefault(life.node_type, {})
            of_type[state] = of_type.get(state, 0) + 1
            if state == "idle":
                idle_since[life.node_type] = min(since, idle_since.get(life.node_type, since))
        return cls(t, {shape: count for shape, count in pending.items() if count}, counts, idle_since, failed)

    def count(self, node_type: str | None, states: Collection[NodeState]) -> int:
        """Return the number of nodes in these states, of all types for None."""
        chosen = self.nodes.values() if node_type is None else [self.nodes.get(node_type, {})]
        return sum(count for of_type in chosen for state, count in of_type.items() if state in states)


@dataclass(frozen=True)
class Obstacle:
    """A reason why no node comes, or none ends: for a shape of demand (`CPU=1`), for a node type, or for both."""

    demand: str
    node_type: str
    reason: Reason
    text: str

    def __str__(self) -> str:
        """Return `CPU=1 on x86: type limit: 8 of at most 8 …`."""
        subject = " on ".join(filter(None, (self.demand, self.node_type)))
        return f"{subject}: {self.reason}: {self.text}"


def launch_rules(
    trial: Trial, before: Moment, requested: Mapping[str, int], of_minimum: Collection[str] = ()
) -> Iterator[tuple[str, tuple[Rule, ...], str]]:
    """Yield for each node type why one update requested so many of its nodes and no more: the rules, and in words.

    `before` is the moment just before the update, `requested` the number of nodes by type in the order of the requests.
    `of_minimum` are types whose nodes were requested to reach `min_workers`.
    """
    earlier, in_all = 0, sum(requested.values())
    for node_type, count in requested.items():
        if node_type in of_minimum and not before.pending:
            least = _limit(trial, node_type, "min_workers")
            yield node_type, ("min_workers",), f"min_workers is {least}"
        else:
            yield node_type, *_rules(trial, before, node_type, count, earlier, in_all)
        earlier += count


def _rules(
    trial: Trial, before: Moment, node_type: str, count: int, earlier: int, in_all: int
) -> tuple[tuple[Rule, ...], str]:
    """Return the rules that these nodes reached; `earlier` others were requested before them in the same update."""
    wanted = ", ".join(f"{number} x {shape}" for shape, number in before.pending.items()) or "none was recorded"
    found: dict[Rule, str] = {}
    allowed, why = _allowed_by_speed(trial, before, node_type)
    if count >= allowed:
        found["speed"] = why
    cap = trial.settings.max_concurrent_launches
    launching = before.count(None, _REQUESTED) + earlier
    if count + launching >= cap:
        found["launch cap"] = f"max_concurrent_launches is {cap}, with {launching} launching before"
    most = _limit(trial, node_type, "max_workers")
    if before.count(node_type, _EXISTING) + count >= most:
        found["type limit"] = f"the type's max_workers is {most}"
    if before.count(None, _EXISTING) + in_all >= trial.shape.max_workers:
        found["total limit"] = f"the cluster's max_workers is {trial.shape.max_workers}"
    if not found:
        return ("demand",), f"demand {wanted}: no more nodes were needed"
    return tuple(found), f"demand {wanted}: no more, because {' and '.join(found.values())}"


def _allowed_by_speed(trial: Trial, moment: Moment, node_type: str) -> tuple[float, str]:
    """Return how many nodes of a type an update may launch, and the rule in words."""
    speed = trial.settings.effective_upscaling_speed
    speed = 1.0 if speed is None else speed
    running = moment.count(node_type, ALIVE_STATES)
    if trial.settings.autoscaler == "v2":
        allowed = max(1, math.ceil(speed * max(running, 1)))
        return allowed, f"speed {speed:g} with {running} running allows {allowed} in one update"
    most, pending = max(_V1_FLOOR, int(speed * max(running, 1))), moment.count(node_type, _PENDING)
    text = f"speed {speed:g} with {running} running allows {most} pending, of which there were {pending}"
    return max(0, most - pending), text


def obstacles(trial: Trial, moment: Moment) -> Iterator[Obstacle]:
    """Yield why no other node comes for the tasks that wait; if none waits, when idle nodes may end."""
    if not moment.pending:
        yield from _idle(trial, moment)
    labels_of = {each.shape: each.labels for each in trial.workload.needs}
    for demand, tasks in moment.pending.items():
        needs, labels = needs_of(demand), labels_of.get(demand, {})
        able = [worker for worker in trial.shape.launchable if worker.fits(needs, labels)]
        if not able:
            have = ", ".join(f"{worker.name}: {_resources(worker)}" for worker in trial.shape.launchable)
            only = "only the head holds it" if trial.shape.head.fits(needs, labels) else "no node type holds it"
            yield Obstacle(demand, "", "infeasible", f"{only} ({have})")
        launching = {worker.name: moment.count(worker.name, _PENDING) for worker in able}
        if _held(able, launching, needs, labels) >= tasks:
            for name, count in launching.items():
                if count:
                    yield Obstacle(
                        demand, name, "on its way", f"{count} of this type are being launched: no more needed"
                    )
            continue
        for worker in able:
            yield from (Obstacle(demand, worker.name, *found) for found in _obstacles_of(trial, moment, worker))


def _held(
    workers: Iterable[NodeType], counts: Mapping[str, int], needs: Mapping[str, float], labels: Mapping[str, str]
) -> float:
    """Return how many such tasks so many empty nodes of each type hold; infinite where nothing limits them."""
    held = 0.0
    for worker in workers:
        slots = worker.slots(needs, labels)
        held += counts[worker.name] * (math.inf if slots is None else slots) if counts[worker.name] else 0.0
    return held


def _obstacles_of(trial: Trial, moment: Moment, worker: NodeType) -> Iterator[tuple[Reason, str]]:
    existing, most = moment.count(worker.name, _EXISTING), worker.max_workers
    on_the_way = moment.count(worker.name, _PENDING)
    if on_the_way:
        yield "on its way", f"{on_the_way} of this type are being launched"
    failed = moment.failed.get(worker.name)
    if failed is not None:
        ago = moment.t - failed.last
        yield (
            "no capacity",
            f"{failed.count} launch{'' if failed.count == 1 else 'es'} failed, the last {ago:.0f} s before"
            + (f": {failed.detail}" if failed.detail else ""),
        )
        if trial.settings.autoscaler == "v1" and ago < _V1_BACK_OFF_S:
            left = _V1_BACK_OFF_S - ago
            yield "back-off", f"v1 prefers other types for another {left:.0f} s after a failed launch"
    if existing >= most:
        yield "type limit", f"{existing} of at most {most} of this type exist or are being launched"
        return
    in_all = moment.count(None, _EXISTING)
    if in_all >= trial.shape.max_workers:
        yield "total limit", f"{in_all} of at most {trial.shape.max_workers} workers exist or are being launched"
        return
    cap = trial.settings.max_concurrent_launches
    if (launching := moment.count(None, _REQUESTED)) >= cap:
        yield "launch cap", f"{launching} launches are requested, and max_concurrent_launches is {cap}"
        return
    allowed, why = _allowed_by_speed(trial, moment, worker.name)
    if allowed <= 0:
        yield "speed", why
    elif not on_the_way and failed is None:
        yield "speed", f"{why}; the next update is up to {trial.settings.update_interval_s:g} s away"


def _idle(trial: Trial, moment: Moment) -> Iterator[Obstacle]:
    """Say of idle nodes when they may end."""
    minutes = trial.settings.idle_timeout_minutes
    for worker in trial.shape.launchable:
        idle = moment.count(worker.name, _IDLE)
        if not idle:
            continue
        existing = moment.count(worker.name, _EXISTING)
        # v1 ignores the key of a type.
        own = worker.idle_timeout_s if trial.settings.autoscaler == "v2" else None
        timeout = own if own is not None else 60 * (5.0 if minutes is None else minutes)
        longest = moment.t - moment.idle_since[worker.name]
        kept = f"; min_workers keeps {worker.min_workers}" if worker.min_workers else ""
        text = f"{idle} of {existing} are idle, for up to {longest:.0f} s; a node ends after {timeout:g} s{kept}"
        yield Obstacle("", worker.name, "idle rule", text)


def _limit(trial: Trial, node_type: str, which: Literal["min_workers", "max_workers"]) -> int:
    found = trial.shape.node_type(node_type)
    return 0 if found is None else int(getattr(found, which))


def _resources(worker: NodeType) -> str:
    return ", ".join(f"{name}={amount:g}" for name, amount in worker.resources.items())
