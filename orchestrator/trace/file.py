"""A writer and a reader of traces: JSON lines, flushed one by one, with a header that contains the whole trial."""

import json
import logging
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from orchestrator.errors import SpecError
from orchestrator.model.events import TRACE_VERSION, Emit, Event, parse_event
from orchestrator.model.trial import Trial

_log = logging.getLogger(__name__)


class TraceWriter:
    """A writer that appends events to a file and passes each to the `sinks`. It is thread-safe.

        with TraceWriter(path, trial=trial, sinks=[live_view]) as trace:
            trace.emit(PhaseEvent(t=time.time(), phase="starting"))

    A sink that raises is logged and gets no more events: nothing that only watches may fail a trial. `stopped` has the
    errors of such sinks.
    """

    def __init__(
        self,
        path: Path,
        *,
        trial: Trial | None = None,
        context: Mapping[str, Any] | None = None,
        sinks: Iterable[Emit] = (),
    ) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self.stopped: tuple[str, ...] = ()
        self._lock = threading.RLock()
        self._sinks = list(sinks)
        self._file = path.open("w", encoding="utf-8")
        described = trial.model_dump(mode="json") if trial is not None else None
        self._write(json.dumps({"trace": TRACE_VERSION, "trial": described, **(context or {})}))

    def emit(self, event: Event) -> None:
        """Append one event, then pass it on. Events after `close` are dropped."""
        with self._lock:
            if self._file.closed:
                return
            self._write(event.model_dump_json())
            for sink in list(self._sinks):
                try:
                    sink(event)
                except Exception as error:  # see the class
                    _log.exception("a sink of %s gets no more events", self.path)
                    self._sinks.remove(sink)
                    self.stopped += (f"{type(error).__name__}: {error}",)

    def _write(self, line: str) -> None:
        self._file.write(line + "\n")
        self._file.flush()

    def close(self) -> None:
        """Finish the file."""
        with self._lock:
            self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.close()


@dataclass(frozen=True)
class Trace:
    """A trace in memory: the trial (None for an observed cluster), the other header fields, and the events.

    `events` are in the order of `t`; in the file they are in the order of discovery.
    """

    trial: Trial | None
    context: Mapping[str, Any]
    events: tuple[Event, ...]


def read_trace(path: Path) -> Trace:
    """Read a trace. Only an incomplete last line is dropped. Raises SpecError with the file and the line."""
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError as error:
        raise SpecError(str(path), f"can't be read: {error.strerror}") from None
    if len(lines) < 2:
        raise SpecError(str(path), "no trace: it has no complete first line")
    try:
        header = json.loads(lines[0])
        version = header.pop("trace")
    except (ValueError, KeyError, TypeError, AttributeError):
        raise SpecError(f"{path}:1", 'no trace: the first line isn\'t {"trace": 1, "trial": …}') from None
    if version != TRACE_VERSION:
        raise SpecError(
            f"{path}:1", f"trace version {version!r} isn't one that this orchestrate reads ({TRACE_VERSION})"
        )
    described = header.pop("trial", None)
    try:
        trial = None if described is None else Trial.model_validate(described)
    except ValueError:
        raise SpecError(f"{path}:1", "the header doesn't hold a trial that this version understands") from None
    events = []
    for number, line in enumerate(lines[1:-1], start=2):
        try:
            events.append(parse_event(line))
        except ValueError:
            raise SpecError(f"{path}:{number}", "damaged: this line is not an event") from None
    return Trace(trial, header, tuple(sorted(events, key=lambda event: event.t)))
