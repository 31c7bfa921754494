"""The life of each node, put together from the scaling events of a trace."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from orchestrator.analysis.trial.steps import StepFunction, covered
from orchestrator.model.arch import Arch
from orchestrator.model.events import ALIVE_STATES, BILLED_STATES, STATE_RANK, Event, NodeEvent, NodeState
from orchestrator.model.scorecard import ByPart

Interval = tuple[float, float]

# The stages of a launch: name, and the states between which it lies.
STAGES: tuple[tuple[str, NodeState, NodeState], ...] = (
    ("request", "requested", "allocated"),
    ("boot", "allocated", "installing"),
    ("install", "installing", "running"),
    ("launch", "requested", "running"),
)


@dataclass
class NodeLife:
    """One node: when it entered which state (UNIX seconds, ascending); `baseline` if it was there at the beginning."""

    node: str
    node_type: str
    arch: Arch
    cpus: float
    is_head: bool
    baseline: bool
    instance_type: str = ""
    ray_node_id: str = ""
    states: list[tuple[float, NodeState]] = field(default_factory=list)

    def first(self, state: NodeState) -> float | None:
        """When the node first entered a state."""
        return next((t for t, entered in self.states if entered == state), None)

    @property
    def never_ran(self) -> bool:
        """A launch that failed."""
        return self.first("failed") is not None and not self._ran

    @property
    def crashed(self) -> bool:
        """A node that ran, and failed."""
        return self.first("failed") is not None and self._ran

    @property
    def _ran(self) -> bool:
        return any(state in ALIVE_STATES for _, state in self.states)

    def intervals(self, states: frozenset[NodeState], end: float) -> list[Interval]:
        """When the node was in one of `states`, up to `end`."""
        spans = zip(self.states, [*(t for t, _ in self.states[1:]), end], strict=True)
        return [(t, until) for (t, state), until in spans if state in states and until > t]

    def alive(self, end: float) -> list[Interval]:
        """When Ray could run tasks on it."""
        return self.intervals(ALIVE_STATES, end)

    def billed(self, end: float) -> list[Interval]:
        """When a cloud would bill it: a node that crashed, until its machine was ended, if the trace shows that."""
        buried = self.crashed and self.first("terminated") is not None
        return self.intervals(BILLED_STATES | {"failed"} if buried else BILLED_STATES, end)

    def stage_seconds(self) -> dict[str, float]:
        """The duration of each stage of its launch that the trace shows whole."""
        seconds = {}
        for name, begin, until in STAGES:
            start, stop = self.first(begin), self.first(until)
            if not self.baseline and start is not None and stop is not None:
                seconds[name] = stop - start
        return seconds


def node_lives(events: Iterable[Event]) -> list[NodeLife]:
    """The worker nodes of a trace, in the order of their first event. Needs events in the order of `t`."""
    lives: dict[str, NodeLife] = {}
    for event in events:
        if not isinstance(event, NodeEvent) or event.is_head:
            continue
        life = lives.get(event.node)
        if life is None:
            baseline = event.cause == "baseline"
            life = NodeLife(event.node, event.node_type, event.arch, event.cpus, event.is_head, baseline)
            lives[event.node] = life
        life.cpus = event.cpus or life.cpus
        life.instance_type = event.instance_type or life.instance_type
        life.ray_node_id = event.ray_node_id or life.ray_node_id
        life.states.append((event.t if event.since is None else event.since, event.state))
    for life in lives.values():
        life.states.sort(key=lambda entry: (entry[0], STATE_RANK[entry[1]]))
    return list(lives.values())


def seconds_within(intervals: Iterable[Interval], start: float, end: float) -> float:
    """How long the union of intervals lasts within [start, end]."""
    return covered(
        (max(begin, start), min(until, end)) for begin, until in intervals if min(until, end) > max(begin, start)
    )


def stacked(heights: Iterable[tuple[Iterable[Interval], float]]) -> StepFunction:
    """The sum of all heights over time; each counts while in one of its intervals."""
    return StepFunction.from_changes(
        change
        for intervals, height in heights
        for begin, end in intervals
        for change in ((begin, height), (end, -height))
    )


def by_part(amounts: Iterable[tuple[NodeLife, float]]) -> ByPart:
    """The sum of all nodes' amounts, and its parts by node type and arch."""
    by_type: dict[str, float] = defaultdict(float)
    by_arch: dict[str, float] = defaultdict(float)
    for life, amount in amounts:
        by_type[life.node_type] += amount
        by_arch[life.arch] += amount
    return ByPart(total=sum(by_type.values()), by_type=dict(by_type), by_arch=dict(by_arch))
