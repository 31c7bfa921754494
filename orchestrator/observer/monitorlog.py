"""A parser of node states in the log of Ray's v2 monitor, which is exact to the millisecond.

The log adds to the GCS's data and never replaces it, so a line of another form is skipped. Lines such as "Adding 1
node(s)" repeat at every update and aren't events; only transitions of instances are.

Times in the log are wall-clock times without a zone: the official Ray images log in Pacific time, Amazon Linux in UTC.
`LogClock` finds the zone's offset. Lines from `kubectl logs --timestamps` begin with the exact time, which is used.
The name of a pod or a service before that, as `kubectl logs --prefix` and `docker compose logs` write it, is skipped.
"""

import logging
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from orchestrator.model.events import NodeState

_log = logging.getLogger(__name__)

_LINE = re.compile(
    r"^(?:\[[^\]]{1,300}\] |[\w.-]{1,200} +\| )?"
    r"(?:(?P<stamp>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)) )?"
    r"(?P<when>\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3})\s.*?"
    r"(?:New instance |Update instance (?P<old>[A-Z_]+)->)(?P<new>[A-Z_]+) "
    r"\(id=(?P<instance>[^,]*), type=(?P<node_type>[^,]*), cloud_instance_id=(?P<cloud>[^,]*), "
    r"ray_id=(?P<ray>[^)]*)\): ?(?P<detail>.*)$"
)
# A transition takes some hundred characters. The cost of the pattern grows with the square of a line's length.
_LONGEST_LINE = 4_000
_ALLOCATED_ID = re.compile(r"allocated (?:unassigned|unmanaged) cloud instance :?(\S+)")

# Ray's instance states that correspond to a node state of this project. The GCS reports the others too.
_STATES: dict[str, NodeState] = {
    "REQUESTED": "requested",
    "ALLOCATED": "allocated",
    "RAY_INSTALLING": "installing",
    "RAY_STOP_REQUESTED": "draining",
    "ALLOCATION_FAILED": "failed",
    "ALLOCATION_TIMEOUT": "failed",
    "RAY_INSTALL_FAILED": "failed",
    "TERMINATED": "terminated",
}


# Lines that only Ray's v1 monitor writes; it logs no transitions of instances.
_V1_WORD = "StandardAutoscaler"

_TRANSITION = re.compile(r"(?:New instance |Update instance [A-Z_]+->)[A-Z_]+ \(id=")

# Zones differ by multiples of a quarter of an hour.
_ZONE_STEP_S = 900.0


@dataclass(frozen=True, slots=True)
class InstanceTransition:
    """A transition in one line: the instance, the cloud's id for it if it has one, and the new state.

    `wall` is the line's wall-clock time as if its zone were UTC, in seconds. `t` is its time in UNIX seconds, None
    where the line doesn't tell it.
    """

    wall: float
    instance: str
    cloud_id: str
    node_type: str
    state: NodeState
    detail: str
    t: float | None = None


def parse_line(line: str) -> InstanceTransition | None:
    """Return the transition in a line of `monitor.log`, or None."""
    match = _LINE.match(line) if len(line) <= _LONGEST_LINE else None
    if match is None:
        return None
    state = _STATES.get(match["new"])
    if match["old"] == "RAY_STOP_REQUESTED" and match["new"] == "RAY_RUNNING":
        state = "running"  # the node refused to drain
    if state is None:
        return None
    try:
        wall = datetime.strptime(match["when"], "%Y-%m-%d %H:%M:%S,%f").replace(tzinfo=UTC).timestamp()
        t = _stamp(match["stamp"]) if match["stamp"] else None
    except (ValueError, OverflowError):
        _log.debug("no time in a line of the monitor's log: %.200r", line)
        return None
    allocated = _ALLOCATED_ID.match(match["detail"])
    return InstanceTransition(
        wall=wall,
        instance=match["instance"],
        cloud_id=match["cloud"] or (allocated[1] if allocated else ""),
        node_type=match["node_type"],
        state=state,
        detail=match["detail"],
        t=t,
    )


def is_v1_line(line: str) -> bool:
    """Return True for a line that only Ray's v1 monitor writes."""
    return _V1_WORD in line


def is_unread(line: str) -> bool:
    """Return True for a line that tells a transition in a form that `parse_line` doesn't know."""
    return len(line) <= _LONGEST_LINE and _TRANSITION.search(line) is not None and _LINE.match(line) is None


def _stamp(text: str) -> float:
    """Return UNIX seconds of an RFC 3339 time; digits beyond microseconds are cut."""
    return datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", text)).timestamp()


class LogClock:
    """Converts a log's wall-clock times into UNIX seconds, although the log doesn't name its zone.

    Most lines are read within minutes after they were written. So the offset of the zone is the difference of both
    times, rounded to 15 minutes. Older lines give too large a difference, so the smallest one counts: sync all lines
    at hand before you convert any.
    """

    def __init__(self) -> None:
        self._offset_s: float | None = None

    def sync(self, lines: Iterable[InstanceTransition], now: float | None) -> None:
        """Learn from lines that were read at `now`, in UNIX seconds; None if the time is unknown."""
        for line in lines:
            known_by = line.t if line.t is not None else now
            if known_by is None:
                continue
            offset = round((known_by - line.wall) / _ZONE_STEP_S) * _ZONE_STEP_S
            self._offset_s = offset if self._offset_s is None else min(self._offset_s, offset)

    def time_of(self, line: InstanceTransition) -> float:
        """Return a line's time in UNIX seconds; in this machine's zone where nothing is known about the log's."""
        if line.t is not None:
            return line.t
        if self._offset_s is not None:
            return line.wall + self._offset_s
        return datetime.fromtimestamp(line.wall, UTC).replace(tzinfo=None).timestamp()
