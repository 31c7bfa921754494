"""A writer and a reader of traces: JSON lines, flushed one by one, with a header that contains the whole trial.

A trace can come from anybody. The reader bounds its size, the types and ranges of its values, and the memory that they
can take; what it refuses, it names by file and line.
"""

import json
import logging
import os
import stat
import threading
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from pydantic import ValidationError

from orchestrator.errors import SpecError
from orchestrator.model.events import TRACE_VERSION, Emit, Event, NoteEvent, TaskEvent, parse_event
from orchestrator.model.trial import Trial
from orchestrator.private_files import make_private_folder

_log = logging.getLogger(__name__)

MAX_LINE_BYTES = 4_000_000
# The first line can hold the times of each task of a recorded workload.
MAX_HEADER_BYTES = 40_000_000
MAX_EVENTS = 10_000_000
MAX_TASKS_OF_A_TRACE = 10_000_000
MAX_OBSERVED_S = 400 * 86_400.0
MAX_TRIAL_S = 31 * 86_400.0


class TraceWriter:
    """A writer that appends events to a file and passes each to the `sinks`. It is thread-safe.

        with TraceWriter(path, trial=trial, sinks=[live_view]) as trace:
            trace.emit(PhaseEvent(t=time.time(), phase="starting"))

    A file that is there already is never overwritten: FileExistsError. A sink that raises is logged and gets no more
    events: nothing that only watches may fail a trial. `stopped` has the errors of such sinks.

    A trace that has reached `limit` bytes gets one more event, a note that says so, and is `full`. Sinks go on.
    """

    def __init__(
        self,
        path: Path,
        *,
        trial: Trial | None = None,
        context: Mapping[str, Any] | None = None,
        sinks: Iterable[Emit] = (),
        limit: int | None = None,
    ) -> None:
        make_private_folder(path.parent)
        self.path = path
        self.full = False
        self.written = 0
        self._limit = limit
        self.stopped: tuple[str, ...] = ()
        self._lock = threading.RLock()
        self._sinks = list(sinks)
        self._file = path.open("x", encoding="utf-8")
        described = trial.model_dump(mode="json") if trial is not None else None
        self._write(json.dumps({"trace": TRACE_VERSION, "trial": described, **(context or {})}))

    def emit(self, event: Event) -> None:
        """Append one event, then pass it on. Events after `close` are dropped."""
        with self._lock:
            if self._file.closed:
                return
            if not self.full:
                self._write(event.model_dump_json())
                self._stop_when_full(event.t)
            for sink in list(self._sinks):
                try:
                    sink(event)
                except Exception as error:  # see the class
                    _log.exception("a sink of %s gets no more events", self.path)
                    self._sinks.remove(sink)
                    self.stopped += (f"{type(error).__name__}: {error}",)

    def _write(self, line: str) -> None:
        self.written += self._file.write(line + "\n")
        self._file.flush()

    def _stop_when_full(self, t: float) -> None:
        if self._limit is not None and self.written >= self._limit:
            self.full = True
            text = f"the trace has reached its limit of {self._limit / 1e6:g} MB: later events aren't recorded"
            self._write(NoteEvent(t=t, kind="trace_full", text=text).model_dump_json())

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


def new_trace_path(folder: Path, name: str) -> Path:
    """Return the path of a trace that doesn't exist yet: `NAME.jsonl`, or `NAME-2.jsonl` and so on."""
    path, number = folder / f"{name}.jsonl", 1
    while os.path.lexists(path):
        number += 1
        path = folder / f"{name}-{number}.jsonl"
    return path


def read_trace(path: Path) -> Trace:
    """Read a trace. Only an incomplete last line is dropped. Raises SpecError with the file and the line."""
    stream = open_trace(path)
    events = sorted(stream.events, key=lambda event: event.t)
    check_span(path, stream.trial, events[0].t if events else 0.0, events[-1].t if events else 0.0)
    return Trace(stream.trial, stream.context, tuple(events))


@dataclass(frozen=True)
class TraceStream:
    """A trace whose events are read one at a time, in the order of the file, with the header already read."""

    trial: Trial | None
    context: Mapping[str, Any]
    events: Iterator[Event]


def open_trace(path: Path) -> TraceStream:
    """Read the header of a trace, and offer its events. Both raise SpecError, as `read_trace` does."""
    lines = _lines(path)
    first = next(lines, None)
    if first is None:
        raise SpecError(str(path), "no trace: it has no complete first line")
    trial, context = _read_header(path, first)
    return TraceStream(trial, context, _events(path, lines))


def check_span(path: Path, trial: Trial | None, first: float, last: float) -> None:
    """Raise SpecError if a trace is longer than any real one."""
    if last - first > (MAX_TRIAL_S if trial is not None else MAX_OBSERVED_S):
        days = (last - first) / 86_400
        raise SpecError(str(path), f"damaged: {days:.0f} days are between its first event and its last one")


def _events(path: Path, lines: Iterator[bytes]) -> Iterator[Event]:
    tasks = 0
    for number, line in enumerate(lines, start=2):
        try:
            event = parse_event(line)
        except ValidationError as error:
            raise SpecError(f"{path}:{number}", _problem(error)) from None
        except (ValueError, RecursionError):
            raise SpecError(f"{path}:{number}", "damaged: this line is not an event") from None
        tasks += event.count if isinstance(event, TaskEvent) else 0
        if tasks > MAX_TASKS_OF_A_TRACE:
            raise SpecError(f"{path}:{number}", f"more than {MAX_TASKS_OF_A_TRACE} tasks; no trace has that many")
        if number > MAX_EVENTS:
            raise SpecError(f"{path}:{number}", f"more than {MAX_EVENTS} events; no trace has that many")
        yield event


def _lines(path: Path) -> Iterator[bytes]:
    """Yield the complete lines of a regular file without their ends. Raises SpecError."""
    try:
        # Without a wait: a pipe that nobody writes to would block.
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise SpecError(str(path), "not a file")
            number, most = 0, MAX_HEADER_BYTES
            while (line := file.readline(most + 1)).endswith(b"\n"):
                number, most = number + 1, MAX_LINE_BYTES
                yield line[:-1]
            # Else the last line is incomplete: its writer was killed, or still runs.
            if len(line) > most:
                raise SpecError(f"{path}:{number + 1}", f"longer than {most} bytes; no line of a trace is")
    except OSError as error:
        raise SpecError(str(path), f"can't be read: {error.strerror}") from None
    except ValueError:
        raise SpecError(repr(str(path)), "no path that a file can have") from None


def _read_header(path: Path, line: bytes) -> tuple[Trial | None, Mapping[str, Any]]:
    try:
        header = json.loads(line)
        version = header.pop("trace")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise SpecError(f"{path}:1", 'no trace: the first line isn\'t {"trace": 1, "trial": …}') from None
    if version != TRACE_VERSION:
        raise SpecError(
            f"{path}:1", f"trace version {version!r:.40} isn't one that this orchestrate reads ({TRACE_VERSION})"
        )
    described = header.pop("trial", None)
    try:
        return None if described is None else Trial.model_validate(described), header
    except (ValueError, TypeError, OverflowError, RecursionError):
        raise SpecError(f"{path}:1", "the header doesn't hold a trial that this version understands") from None


def _problem(error: ValidationError) -> str:
    """Return the first problem of a line that isn't an event."""
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    where = ".".join(str(part) for part in first["loc"][1:])[:80]
    return (
        f"damaged: this line is not an event ({where}: {first['msg'].lower()})"
        if where
        else ("damaged: this line is not an event")
    )
