"""The lives of nodes, folded from the scaling events of a trial: the one place that knows what became of a node.

A node that can't be used any more has ended. `failed` is a crash if the node ran before, else a launch that failed.
`terminated` is its planned end, or the end of its machine after a failure.
"""

from bisect import insort
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from orchestrator.analysis.trial.steps import StepFunction, covered
from orchestrator.model.arch import Arch
from orchestrator.model.events import (
    ALIVE_STATES,
    BILLED_STATES,
    FINAL_STATES,
    STATE_RANK,
    Event,
    NodeEvent,
    NodeState,
    StageEvent,
)
from orchestrator.model.scorecard import ByPart

Interval = tuple[float, float]
Entry = tuple[float, NodeState]

# The stages of a launch: name, and the states between which it lies.
STAGES: tuple[tuple[str, NodeState, NodeState], ...] = (
    ("request", "requested", "allocated"),
    ("boot", "allocated", "installing"),
    ("install", "installing", "running"),
    ("launch", "requested", "running"),
)

# The parts of boot and install, where the trace tells them: name, and what they lie between. See `StageEvent`.
PARTS_OF_STAGES: tuple[tuple[str, str, str], ...] = (
    ("machine", "allocated", "machine"),
    ("ssh", "machine", "files"),
    ("files", "files", "setup"),
    ("setup", "setup", "ray_start"),
    ("ray_start", "ray_start", "running"),
)


@dataclass
class NodeLife:
    """One node: the states that it entered and when (UNIX seconds, ascending); `baseline` if it existed from the start.

    `state` is the present state and `since` when the node entered it; `seen` is the time of its first event. `stages`
    are the times at which finer stages of the launch began, where the trace tells them.
    """

    node: str
    node_type: str
    arch: Arch
    cpus: float
    is_head: bool
    baseline: bool
    instance_type: str = ""
    ray_node_id: str = ""
    states: list[Entry] = field(default_factory=list)
    state: NodeState = "requested"
    since: float = 0.0
    seen: float = 0.0
    stages: dict[str, float] = field(default_factory=dict)

    def reached(self, stage: str) -> float | None:
        """Return when the node first entered a state, or began a stage of its launch (`StageEvent`); or None."""
        entered = (t for t, state in self.states if state == stage)
        return self.stages[stage] if stage in self.stages else next(entered, None)

    def first(self, state: NodeState) -> float | None:
        """Return when the node first entered a state, or None."""
        return next((t for t, entered in self.states if entered == state), None)

    @property
    def ended(self) -> bool:
        """Return whether the node's present state is final. The machine of a failed node may still be terminated."""
        return self.state in FINAL_STATES

    @property
    def never_ran(self) -> bool:
        """Return whether the launch failed."""
        return self.first("failed") is not None and not self._ran

    @property
    def crashed(self) -> bool:
        """Return whether the node failed after it had run."""
        return self.first("failed") is not None and self._ran

    @property
    def may_be_terminated(self) -> bool:
        """Return whether the node has failed and its machine may still exist."""
        return self.state == "failed" and self._had_machine

    @property
    def terminated_after_failure(self) -> bool:
        """Return whether the trace shows that the machine of a failed node was terminated."""
        return self.first("failed") is not None and self.first("terminated") is not None and self._had_machine

    @property
    def _had_machine(self) -> bool:
        return any(state in BILLED_STATES for _, state in self.states)

    @property
    def _ran(self) -> bool:
        return any(state in ALIVE_STATES for _, state in self.states)

    def intervals(self, states: frozenset[NodeState], end: float) -> list[Interval]:
        """Return the intervals in which the node was in one of `states`, up to `end`."""
        spans = zip(self.states, [*(t for t, _ in self.states[1:]), end], strict=True)
        return [(t, until) for (t, state), until in spans if state in states and until > t]

    def alive(self, end: float) -> list[Interval]:
        """Return the intervals in which Ray could run tasks on the node."""
        return self.intervals(ALIVE_STATES, end)

    def billed(self, end: float) -> list[Interval]:
        """Return the intervals for which a cloud would bill the node.

        A machine outlives a failure of its node: it is billed until it is terminated, if the trace shows that.
        """
        return self.intervals(BILLED_STATES | {"failed"} if self.terminated_after_failure else BILLED_STATES, end)

    def stage_seconds(self) -> dict[str, float]:
        """Return the duration of each stage of the node's launch that the trace shows whole."""
        seconds = {}
        for name, begin, until in STAGES:
            start, stop = self.first(begin), self.first(until)
            if not self.baseline and start is not None and stop is not None:
                seconds[name] = stop - start
        return seconds | self.part_seconds()

    def part_seconds(self) -> dict[str, float]:
        """Return the duration of each part of boot and install that the trace tells."""
        if self.baseline or not self.stages:
            return {}
        spans = {name: (self.reached(begin), self.reached(until)) for name, begin, until in PARTS_OF_STAGES}
        return {
            name: max(0.0, end - start)  # two clocks: EC2's account, and the head's
            for name, (start, end) in spans.items()
            if start is not None and end is not None
        }

    def add(self, event: NodeEvent) -> None:
        """Take in an event of this node."""
        entered = event.t if event.since is None else event.since
        if not self.states:
            self.seen = event.t
        # Some sources report a stage long after the node has left it: the present state stays.
        late = bool(self.states) and _order((entered, event.state)) < _order((self.since, self.state))
        if event.previous is not None or event.state in FINAL_STATES or not late:
            self.state, self.since = event.state, entered
        self.cpus = event.cpus or self.cpus
        self.instance_type = event.instance_type or self.instance_type
        self.ray_node_id = event.ray_node_id or self.ray_node_id
        insort(self.states, (entered, event.state), key=_order)

    def forget_alternation(self) -> None:
        """Drop all but the first two and the last of the newest alternations between running and idle.

        `first` and the time that `alive` and `billed` cover stay the same, and a node that is observed for days
        doesn't need ever more memory.
        """
        newest = [state for _, state in self.states[-4:]]
        if len(newest) == 4 and ALIVE_STATES.issuperset(newest):
            del self.states[-2]


@dataclass(frozen=True)
class NodeChange:
    """The effect of one event on the life of its node."""

    life: NodeLife
    event: NodeEvent
    is_first: bool  # the first time that the node enters this state

    @property
    def is_baseline(self) -> bool:
        """Return whether the event only says that the node exists when the trial begins."""
        return self.event.cause == "baseline"

    @property
    def is_scaling(self) -> bool:
        """Return whether the node moved towards its start or its end; turning idle or busy again doesn't count."""
        state, previous = self.event.state, self.event.previous
        return not (self.is_baseline or state == "idle" or (state == "running" and previous == "idle"))

    def stage_seconds(self) -> dict[str, float]:
        """Return the duration of each stage of the launch that this event completes."""
        if not self.is_first:
            return {}
        completed = {name for name, begin, until in STAGES if self.event.state in (begin, until)}
        if self.event.state == "running":
            completed |= {name for name, _, _ in PARTS_OF_STAGES}
        return {name: seconds for name, seconds in self.life.stage_seconds().items() if name in completed}


class NodeLives:
    """The lives of the worker nodes, folded from events one at a time; each event takes constant time.

    With `heads`, those of heads instead.

    `living` has the nodes that haven't ended, by id. With `keep_ended=False` memory doesn't grow with the length of
    the trial: ended nodes are forgotten, except those that failed and whose machines may still be terminated.
    """

    def __init__(self, *, keep_ended: bool = True, heads: bool = False) -> None:
        self._heads = heads
        self.living: dict[str, NodeLife] = {}
        self._lives: dict[str, NodeLife] = {}
        self._stages: dict[str, dict[str, float]] = {}
        self._keep_ended = keep_ended

    def __iter__(self) -> Iterator[NodeLife]:
        """Iterate over the lives in the order of their first events."""
        return iter(self._lives.values())

    def get(self, node: str) -> NodeLife | None:
        """Return the life of a node, or None if it is unknown or forgotten."""
        return self._lives.get(node)

    def add(self, event: Event) -> NodeChange | None:
        """Take in an event, and return its effect; None for an event of anything else than such a node."""
        if isinstance(event, StageEvent):
            self._stages.setdefault(event.node, {}).setdefault(event.stage, event.t)
            return None
        if not isinstance(event, NodeEvent) or event.is_head != self._heads:
            return None
        life = self._lives.get(event.node)
        if life is None:
            baseline = event.cause == "baseline"
            life = NodeLife(event.node, event.node_type, event.arch, event.cpus, event.is_head, baseline)
            life.stages = self._stages.setdefault(event.node, {})
            self._lives[event.node] = life
        is_first = life.first(event.state) is None
        life.add(event)
        if life.ended:
            self.living.pop(event.node, None)
        else:
            self.living[event.node] = life
        if not self._keep_ended:
            life.forget_alternation()
            if life.ended and not life.may_be_terminated:
                del self._lives[event.node]
                self._stages.pop(event.node, None)
        return NodeChange(life, event, is_first)


def node_lives(events: Iterable[Event], *, heads: bool = False) -> list[NodeLife]:
    """Return the lives of the worker nodes of a trace, or of its heads, in the order of their first events.

    The events have to be in the order of `t`.
    """
    lives = NodeLives(heads=heads)
    for event in events:
        lives.add(event)
    return list(lives)


def _order(entry: Entry) -> tuple[float, int]:
    return entry[0], STATE_RANK[entry[1]]


def seconds_within(intervals: Iterable[Interval], start: float, end: float) -> float:
    """Return how long the union of intervals lasts within [start, end]."""
    return covered(
        (max(begin, start), min(until, end)) for begin, until in intervals if min(until, end) > max(begin, start)
    )


def stacked(heights: Iterable[tuple[Iterable[Interval], float]]) -> StepFunction:
    """Return the sum of all heights over time; each counts while in one of its intervals."""
    return StepFunction.from_changes(
        change
        for intervals, height in heights
        for begin, end in intervals
        for change in ((begin, height), (end, -height))
    )


def by_part(amounts: Iterable[tuple[NodeLife, float]]) -> ByPart:
    """Return the sum of all nodes' amounts, and its parts by node type and arch."""
    by_type: dict[str, float] = defaultdict(float)
    by_arch: dict[str, float] = defaultdict(float)
    for life, amount in amounts:
        by_type[life.node_type] += amount
        by_arch[life.arch] += amount
    return ByPart(total=sum(by_type.values()), by_type=dict(by_type), by_arch=dict(by_arch))
