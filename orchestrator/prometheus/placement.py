"""The placement of recorded trials in the time of a Prometheus, original or shifted. A sweep keeps its placement."""

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from orchestrator.filesystem import write_atomically
from orchestrator.model.events import Event, FaultEvent, NodeEvent, TaskEvent
from orchestrator.sweeps.folder import SweepFolder
from orchestrator.trace.file import Trace

_log = logging.getLogger(__name__)

# The pause between shifted trials, and after the last, so that scorecards are visible.
PAUSE_S = 60.0

Key = tuple[str, str]
"""The ids of a sweep and of one of its trials."""


@dataclass(frozen=True)
class RecordedTrial:
    """A trial whose trace lasts from `begin` to `end`, UNIX seconds."""

    sweep_id: str
    trial_id: str
    trace: Path
    begin: float
    end: float
    simulated: bool

    @property
    def key(self) -> Key:
        """Return the ids of the sweep and the trial."""
        return self.sweep_id, self.trial_id

    def window(self, moved_by: float) -> tuple[float, float]:
        """Return begin and end of the trial in Prometheus after this shift in seconds, including its scorecard."""
        return self.begin + moved_by, self.end + moved_by + PAUSE_S


@dataclass(frozen=True)
class Placement:
    """The shift in seconds of each trial of a sweep, by id, in the last push."""

    moved_by: Mapping[str, float]

    @classmethod
    def read(cls, home: Path, sweep_id: str) -> "Placement":
        """Return the placement of the last push; empty if there was none."""
        try:
            return cls(json.loads(_placement_file(home, sweep_id).read_text()))
        except (OSError, ValueError):
            _log.debug("no placement of sweep %s", sweep_id, exc_info=True)
            return cls({})

    def write(self, home: Path, sweep_id: str) -> None:
        """Store it for later pushes and for boards, and keep the placement of the sweep's other trials."""
        file = _placement_file(home, sweep_id)
        file.parent.mkdir(parents=True, exist_ok=True)
        known = {**self.read(home, sweep_id).moved_by, **self.moved_by}
        write_atomically(file, json.dumps(known))


def _placement_file(home: Path, sweep_id: str) -> Path:
    return SweepFolder.of(home, sweep_id).root / "pushed.json"


def laid_out(trials: Sequence[RecordedTrial], *, now: float) -> dict[Key, float]:
    """Return the shift of each trial, so that they follow one another with pauses and the last one ends now."""
    lengths = [end - begin for begin, end in (trial.window(0.0) for trial in trials)]
    begin = now - sum(lengths)
    by = {}
    for trial, length in zip(trials, lengths, strict=True):
        by[trial.key] = begin - trial.begin
        begin += length
    return by


def moved(trace: Trace, by: float) -> Trace:
    """Return the trace with all times shifted by this number of seconds."""
    return Trace(trace.trial, trace.context, tuple(_moved(event, by) for event in trace.events)) if by else trace


def _moved(event: Event, by: float) -> Event:
    times = ["t"]
    if isinstance(event, TaskEvent):
        times += ["submitted", "started", "ended"]
    if isinstance(event, NodeEvent | FaultEvent) and event.since is not None:
        times.append("since")
    if isinstance(event, FaultEvent) and event.until is not None:
        times.append("until")
    return event.model_copy(update={name: getattr(event, name) + by for name in times})
