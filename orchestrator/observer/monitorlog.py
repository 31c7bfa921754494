"""Reads the stages of a node's life from the log of Ray's v2 monitor: exact to the millisecond, and only text.

A line that doesn't look as expected is passed over: the log enriches what the GCS says and never replaces it. Lines
such as "Adding 1 node(s)" repeat at every update and are no events; only transitions of instances are.
"""

import re
from dataclasses import dataclass
from datetime import datetime

from orchestrator.model.events import NodeState

_LINE = re.compile(
    r"^(?P<when>\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3})\s.*?"
    r"(?:New instance |Update instance (?P<old>[A-Z_]+)->)(?P<new>[A-Z_]+) "
    r"\(id=(?P<instance>[^,]*), type=(?P<node_type>[^,]*), cloud_instance_id=(?P<cloud>[^,]*), "
    r"ray_id=(?P<ray>[^)]*)\): ?(?P<detail>.*)$"
)
# A transition takes some hundred characters; what a pattern costs on a line grows with the square of its length.
_LONGEST_LINE = 4_000
_ALLOCATED_ID = re.compile(r"allocated (?:unassigned|unmanaged) cloud instance :?(\S+)")

# Ray's instance states that are a stage of ours; the others only repeat what GCS tells.
_STATES: dict[str, NodeState] = {
    "REQUESTED": "requested",
    "ALLOCATED": "allocated",
    "RAY_INSTALLING": "installing",
    "RAY_STOP_REQUESTED": "draining",
    "ALLOCATION_FAILED": "failed",
    "RAY_INSTALL_FAILED": "failed",
    "TERMINATED": "terminated",
}


@dataclass(frozen=True, slots=True)
class InstanceTransition:
    """One line: the instance manager's instance, the cloud's id for it once it has one, and the state entered."""

    t: float
    instance: str
    cloud_id: str
    node_type: str
    state: NodeState
    detail: str


def parse_line(line: str) -> InstanceTransition | None:
    """The transition in a line of `monitor.log`, or None. Times in the log are local; the result is UNIX seconds."""
    match = _LINE.match(line) if len(line) <= _LONGEST_LINE else None
    if match is None:
        return None
    state = _STATES.get(match["new"])
    if match["old"] == "RAY_STOP_REQUESTED" and match["new"] == "RAY_RUNNING":
        state = "running"  # the node refused to drain
    if state is None:
        return None
    try:
        t = datetime.strptime(match["when"], "%Y-%m-%d %H:%M:%S,%f").timestamp()
    except (ValueError, OverflowError):
        return None
    allocated = _ALLOCATED_ID.match(match["detail"])
    return InstanceTransition(
        t=t,
        instance=match["instance"],
        cloud_id=match["cloud"] or (allocated[1] if allocated else ""),
        node_type=match["node_type"],
        state=state,
        detail=match["detail"],
    )
