"""The events of a trace. `t` is in UNIX seconds. Unknown fields and types are kept, so newer traces stay readable.

A trace can come from anybody, so each value has the range that any real one has.
"""

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, TypeAdapter

from orchestrator.model.arch import Arch
from orchestrator.model.fault import FaultKind
from orchestrator.model.workload import MAX_TASKS

TRACE_VERSION = 1

YEAR_3000 = 32_503_680_000.0
Time = Annotated[float, Field(ge=0, lt=YEAR_3000)]
"""UNIX seconds."""
Amount = Annotated[float, Field(ge=0, le=1e12)]
Number = Annotated[int, Field(ge=0, le=1_000_000_000)]

NodeState = Literal["requested", "allocated", "installing", "running", "idle", "draining", "terminated", "failed"]
Phase = Literal["starting", "preparing", "submitting", "running", "scaling_down", "done", "failed"]

NODE_STATES: tuple[NodeState, ...] = get_args(NodeState)
"""All states in the order in which tables, plots and boards show them."""
STATE_NUMBERS: Mapping[NodeState, int] = {state: number for number, state in enumerate(NODE_STATES, start=1)}
"""The value of `orchestrator_node_state` for each state."""
PHASES: tuple[Phase, ...] = get_args(Phase)
"""All phases in the order of a trial."""

# The order of a node's life; `running` and `idle` alternate.
STATE_RANK: dict[NodeState, int] = {
    "requested": 0,
    "allocated": 1,
    "installing": 2,
    "running": 3,
    "idle": 3,
    "draining": 4,
    "terminated": 5,
    "failed": 5,
}
LAUNCH_STAGES = ("machine", "ssh", "files", "setup", "ray_start")
"""The stages of a `StageEvent`, in order: `machine` and `ssh` split a node's boot, the others its installation."""
ALIVE_STATES: frozenset[NodeState] = frozenset({"running", "idle"})
BILLED_STATES: frozenset[NodeState] = frozenset({"allocated", "installing", "running", "idle", "draining"})
FINAL_STATES: frozenset[NodeState] = frozenset({"terminated", "failed"})
CURRENT_STATES: tuple[NodeState, ...] = tuple(state for state in NODE_STATES if state not in FINAL_STATES)
"""The states of a node that hasn't ended, in order."""


class Event(BaseModel):
    """One line of a trace."""

    model_config = ConfigDict(frozen=True, extra="allow", allow_inf_nan=False)

    t: Time
    type: str


class PhaseEvent(Event):
    """The start of a phase of the trial."""

    type: Literal["phase"] = "phase"
    phase: Phase
    detail: str = ""


class SettingsEvent(Event):
    """The settings that the running autoscaler reports, and their agreement with those of the trial."""

    type: Literal["settings"] = "settings"
    in_force: dict[str, Any]
    as_wanted: bool


class DemandEvent(Event):
    """Pending tasks and actors by resource shape, as the GCS reports them to the autoscaler; written on change."""

    type: Literal["demand"] = "demand"
    pending: dict[str, Number]
    pending_cpus: Amount


class NodeEvent(Event):
    """A scaling event: a node enters `state` at `t`. For a trace's first events (`baseline`), it entered at `since`."""

    type: Literal["node"] = "node"
    node: str
    node_type: str
    arch: Arch = "unknown"
    instance_type: str = ""
    cpus: Amount = 0.0
    is_head: bool = False
    state: NodeState
    previous: NodeState | None = None
    cause: str = ""
    detail: str = ""
    ray_node_id: str = ""
    since: Time | None = None


class NodeTypeEvent(Event):
    """A node type as its first node shows it: resources in Ray's names, and labels, without those of a single node."""

    type: Literal["node_type"] = "node_type"
    node_type: str
    is_head: bool = False
    resources: dict[str, Amount]
    labels: dict[str, str] = Field(default_factory=dict)


class StageEvent(Event):
    """A node on its way to Ray begins a stage of its launch, at `t`; only sources that know the machine tell it.

    `machine`: the cloud reports the machine as running. `ssh`: Ray begins to wait for SSH. `files`: SSH has answered,
    and files are copied. `setup`: setup commands run. `ray_start`: the commands that start Ray run.
    """

    type: Literal["stage"] = "stage"
    node: str
    node_type: str
    stage: str
    detail: str = ""


class UsageEvent(Event):
    """Logical CPUs used and supplied by node type, `{node_type: [used, total]}`; written on change."""

    type: Literal["usage"] = "usage"
    cpus: dict[str, tuple[Amount, Amount]]


class TaskEvent(Event):
    """A group of `count` tasks: the node they ran on, and their submission, start and end."""

    type: Literal["task"] = "task"
    node: str
    node_type: str = ""
    arch: Arch = "unknown"
    cpus: Amount = 1.0
    submitted: Time
    started: Time
    ended: Time
    count: Annotated[int, Field(ge=1, le=MAX_TASKS)] = 1
    ok: bool = True


class TaskDetails(BaseModel):
    """Further fields of a task event from Ray's own records: what the task asks of a node.

    `resources` are what it holds, `labels` its label selectors, `group` the id of its placement group. It was `ready`
    when only a node was missing. `actor`: it is the life of an actor. `earlier`: it began before the trace did.
    `unfinished`: it still ran when the trace ended.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)

    name: str = ""
    actor: bool = False
    resources: dict[str, Amount] | None = None
    labels: dict[str, str] = Field(default_factory=dict)
    group: str = ""
    ready: Time | None = None
    earlier: bool = False
    unfinished: bool = False


class PlacementGroupEvent(Event):
    """The life of a placement group: its bundles, submission, placement (None if it waited to the end), and end."""

    type: Literal["placement_group"] = "placement_group"
    group: str
    strategy: str
    bundles: tuple[dict[str, Amount], ...]
    submitted: Time
    placed: Time | None
    ended: Time
    unfinished: bool = False


class HostEvent(Event):
    """Load of the machine that runs the laboratory: CPU in percent of all cores, memory in bytes."""

    type: Literal["host"] = "host"
    cpu_percent: Amount
    load_1m: Amount
    memory_available: Annotated[int, Field(ge=0, le=2**63 - 1)]


class NoteEvent(Event):
    """A note for the reader of the numbers, such as a gap of the observer or a fault that failed."""

    type: Literal["note"] = "note"
    kind: str
    text: str
    seconds: Annotated[float, Field(ge=-1e12, le=1e12)] = 0.0


class FaultEvent(Event):
    """The beginning of an injected fault (`begin`), or the end of a lasting one (`end`, with its start in `since`).

    `detail` is the fault as the workload defines it. `until` is the intended end of a lasting fault, and `tasks` the
    number of tasks on the node when it was hit, if known.
    """

    type: Literal["fault"] = "fault"
    kind: FaultKind
    stage: Literal["begin", "end"] = "begin"
    node: str
    node_type: str
    arch: Arch = "unknown"
    detail: str = ""
    since: Time | None = None
    until: Time | None = None
    tasks: Number | None = None


class OtherEvent(Event):
    """An event of a type that this version doesn't know."""


_KINDS: dict[str, type[Event]] = {
    "phase": PhaseEvent,
    "settings": SettingsEvent,
    "demand": DemandEvent,
    "node": NodeEvent,
    "node_type": NodeTypeEvent,
    "stage": StageEvent,
    "usage": UsageEvent,
    "task": TaskEvent,
    "placement_group": PlacementGroupEvent,
    "host": HostEvent,
    "note": NoteEvent,
    "fault": FaultEvent,
}


def _kind(value: Any) -> str:
    kind = value.get("type") if isinstance(value, dict) else getattr(value, "type", None)
    return kind if isinstance(kind, str) and kind in _KINDS else "other"


_ADAPTER: TypeAdapter[Event] = TypeAdapter(
    Annotated[
        Annotated[PhaseEvent, Tag("phase")]
        | Annotated[SettingsEvent, Tag("settings")]
        | Annotated[DemandEvent, Tag("demand")]
        | Annotated[NodeEvent, Tag("node")]
        | Annotated[NodeTypeEvent, Tag("node_type")]
        | Annotated[StageEvent, Tag("stage")]
        | Annotated[UsageEvent, Tag("usage")]
        | Annotated[TaskEvent, Tag("task")]
        | Annotated[PlacementGroupEvent, Tag("placement_group")]
        | Annotated[HostEvent, Tag("host")]
        | Annotated[NoteEvent, Tag("note")]
        | Annotated[FaultEvent, Tag("fault")]
        | Annotated[OtherEvent, Tag("other")],
        Discriminator(_kind),
    ]
)


def parse_event(line: str | bytes) -> Event:
    """Return the event in one line of a trace. Raises pydantic's ValueError for a damaged line."""
    return _ADAPTER.validate_json(line)


Emit = Callable[[Event], None]
