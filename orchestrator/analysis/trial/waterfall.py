"""Each node's way from the demand that called for it to its end, and where on that way the time goes."""

import math
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from pydantic import Field

from orchestrator.analysis.trial.node_lives import NodeLife
from orchestrator.analysis.trial.score import quantiles
from orchestrator.model.arch import Arch
from orchestrator.model.base import FrozenModel
from orchestrator.model.cluster import ClusterShape, NodeType
from orchestrator.model.events import ALIVE_STATES, NodeState, TaskEvent
from orchestrator.model.scorecard import Quantiles
from orchestrator.model.task_needs import Needs
from orchestrator.model.trial import Trial

# The parts of a node's way: name, and the stages between which it lies.
PARTS: tuple[tuple[str, str, str], ...] = (
    ("autoscaler", "queued", "requested"),
    ("request", "requested", "allocated"),
    ("boot", "allocated", "installing"),
    ("install", "installing", "running"),
    ("first_task", "running", "first_task"),
    ("work", "first_task", "idle"),
    ("idle", "idle", "draining"),
    ("drain", "draining", "terminated"),
)
# The wait until a node can run tasks, by who makes it: Ray's autoscaler, the cloud, the set-up of the node.
WAITS: tuple[tuple[str, str, str], ...] = (
    ("autoscaler", "queued", "requested"),
    ("cloud", "requested", "installing"),
    ("install", "installing", "running"),
    ("all", "queued", "running"),
)

_ON_ITS_WAY: frozenset[NodeState] = frozenset({"requested", "allocated", "installing"})


@dataclass(frozen=True)
class Waterfall:
    """Times at which a worker node reached its stages, in UNIX seconds; None where the trace doesn't show it.

    `queued` is since when the demand that this node was launched for had been waiting: see `queued_since`. `idle` is
    the beginning of the idle time that led to its end, `draining` that of the drain that Ray didn't take back.
    `machine`, `setup` and `ray_start` are those of a `StageEvent`, where the machines are a cloud's. Of a node that was
    there at the beginning (`baseline`), nothing before its first task is known.
    """

    node: str
    node_type: str
    arch: Arch
    baseline: bool
    queued: float | None = None
    requested: float | None = None
    allocated: float | None = None
    machine: float | None = None
    installing: float | None = None
    setup: float | None = None
    ray_start: float | None = None
    running: float | None = None
    first_task: float | None = None
    idle: float | None = None
    draining: float | None = None
    terminated: float | None = None
    failed: float | None = None

    def between(self, begin: str, until: str) -> float | None:
        """Return seconds from one stage to another, where both are known."""
        start, end = getattr(self, begin), getattr(self, until)
        return None if start is None or end is None else end - start

    def seconds(self) -> dict[str, float]:
        """Return the duration of each of `PARTS` that the trace shows whole."""
        return _durations(self, PARTS)


class TimeSpent(FrozenModel):
    """Seconds until launched nodes could run tasks, by who makes them wait (`WAITS`): of all, by type, by arch."""

    all: dict[str, Quantiles] = Field(default_factory=dict)
    by_type: dict[str, dict[str, Quantiles]] = Field(default_factory=dict)
    by_arch: dict[str, dict[str, Quantiles]] = Field(default_factory=dict)


def waterfalls(trial: Trial, lives: Sequence[NodeLife], tasks: Sequence[TaskEvent]) -> list[Waterfall]:
    """Return the waterfall of each node, in the order of `lives`, which must be all lives of the trace."""
    first_task: dict[str, float] = {}
    for task in tasks:
        first_task[task.node] = min(task.started, first_task.get(task.node, math.inf))
    queued = queued_since(trial, lives, tasks)
    return [_waterfall(life, queued.get(life.node), first_task.get(life.ray_node_id)) for life in lives]


def time_spent(waterfalls: Iterable[Waterfall]) -> TimeSpent:
    """Return where the time went until the launched nodes could run tasks, as far as the trace shows it."""
    everything: dict[str, list[float]] = defaultdict(list)
    by_type: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    by_arch: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for waterfall in waterfalls:
        for name, seconds in _durations(waterfall, WAITS).items():
            for group in (everything, by_type[waterfall.node_type], by_arch[waterfall.arch]):
                group[name].append(seconds)
    return TimeSpent(
        all=_quantiles(everything),
        by_type={name: _quantiles(group) for name, group in by_type.items()},
        by_arch={arch: _quantiles(group) for arch, group in by_arch.items()},
    )


def queued_since(trial: Trial, lives: Sequence[NodeLife], tasks: Sequence[TaskEvent]) -> dict[str, float]:
    """Return since when the demand that each node was launched for had been waiting, in UNIX seconds.

    Demand d is the number of tasks submitted and not yet ended, as far as the shape's limits allow to run them at once;
    supply s is how many of them the head and the nodes that run, or are on their way, can run at once. A node that is
    requested when s is S (with those requested before it at the same moment) is for the tasks beyond S. They have been
    waiting since d began to exceed both S and the supply of its time, without a break until the request.

    A node has no entry if no waiting demand explains it: a node of `min_workers`, a node whose demand had ended before
    the request, a node that can't run the tasks, or any node if tasks need no limited resource, or not all of them the
    same. Tasks that the trace doesn't show, because the trial ended before them, aren't counted.
    """
    needs, *others = trial.workload.needs
    if others:
        return {}
    of_head = _slots(trial.shape.head, needs)
    slots = {node_type.name: _slots(node_type, needs) for node_type in trial.shape.launchable}
    servable = of_head + _servable(trial.shape, slots)
    backlog = _Backlog()
    demand, supply = 0, of_head
    short_since: float | None = None
    queued = {}
    moments = sorted(_moments(lives, tasks, slots), key=lambda moment: moment.t)
    for t, group in groupby(moments, key=lambda moment: moment.t):
        now = list(group)
        demand += sum(moment.demand for moment in now)
        supply += sum(moment.supply for moment in now if not moment.requests)
        capped = min(demand, servable)
        backlog.step(t, capped)
        short_since = _since(short_since, t, capped > supply)
        for moment in now:
            if moment.requests:
                if capped > supply and moment.supply and short_since is not None:
                    queued[moment.requests] = max(short_since, backlog.above(supply))
                supply += moment.supply
        short_since = _since(short_since, t, capped > supply)
    return queued


@dataclass(frozen=True)
class _Moment:
    """Demand or supply changes by so many tasks; `requests` names the node whose request brings the supply."""

    t: float
    demand: int = 0
    supply: int = 0
    requests: str = ""


class _Backlog:
    """Answers, for any level, how long a quantity has been above it: keeps each rise that hasn't been undone yet."""

    def __init__(self) -> None:
        self._levels: list[int] = []
        self._since: list[float] = []

    def step(self, t: float, level: int) -> None:
        """Set the quantity to `level` from `t` on."""
        since = t
        while self._levels and self._levels[-1] >= level:
            self._levels.pop()
            since = self._since.pop()
        self._levels.append(level)
        self._since.append(since)

    def above(self, level: int) -> float:
        """Return the time at which it last rose above `level`. It must be above it now."""
        return self._since[bisect_right(self._levels, level)]


def _since(since: float | None, t: float, holds: bool) -> float | None:
    if not holds:
        return None
    return t if since is None else since


def _moments(lives: Iterable[NodeLife], tasks: Iterable[TaskEvent], slots: Mapping[str, int]) -> Iterable[_Moment]:
    for task in tasks:
        yield _Moment(task.submitted, demand=task.count)
        yield _Moment(task.ended, demand=-task.count)
    for life in lives:
        able = slots.get(life.node_type, 0)
        requested = life.first("requested")
        for begin, end in life.intervals(_ON_ITS_WAY | ALIVE_STATES, math.inf):
            yield _Moment(begin, supply=able, requests=life.node if begin == requested else "")
            yield _Moment(end, supply=-able)


def _slots(node_type: NodeType, needs: Needs) -> int:
    """Return how many such tasks a node runs at once; 0 if none, or if they need no limited resource."""
    return node_type.slots(needs.resources, needs.labels) or 0


def _servable(shape: ClusterShape, slots: Mapping[str, int]) -> int:
    """Return how many tasks the largest cluster that the limits allow runs at once."""
    left, tasks = shape.max_workers, 0
    for node_type in sorted(shape.launchable, key=lambda node_type: -slots[node_type.name]):
        nodes = min(left, node_type.max_workers)
        tasks, left = tasks + nodes * slots[node_type.name], left - nodes
    return tasks


def _waterfall(life: NodeLife, queued: float | None, first_task: float | None) -> Waterfall:
    def launch(state: NodeState) -> float | None:
        return None if life.baseline else life.first(state)

    return Waterfall(
        node=life.node,
        node_type=life.node_type,
        arch=life.arch,
        baseline=life.baseline,
        queued=queued,
        requested=launch("requested"),
        allocated=launch("allocated"),
        machine=life.stages.get("machine"),
        installing=launch("installing"),
        setup=life.stages.get("setup"),
        ray_start=life.stages.get("ray_start"),
        running=launch("running"),
        first_task=first_task,
        idle=_for_good(life, "idle"),
        draining=_for_good(life, "draining"),
        terminated=life.first("terminated"),
        failed=life.first("failed"),
    )


def _for_good(life: NodeLife, state: NodeState) -> float | None:
    """Return when the node entered a state after which it didn't run tasks again."""
    for t, entered in reversed(life.states):
        if entered == state:
            return t
        if entered in ALIVE_STATES:
            return None
    return None


def _durations(waterfall: Waterfall, parts: Iterable[tuple[str, str, str]]) -> dict[str, float]:
    found = ((name, waterfall.between(begin, until)) for name, begin, until in parts)
    return {name: seconds for name, seconds in found if seconds is not None}


def _quantiles(groups: Mapping[str, Sequence[float]]) -> dict[str, Quantiles]:
    return {name: quantiles(values) for name, values in groups.items()}
