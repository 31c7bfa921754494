"""A simulated sweep struck at its system calls (killed, signalled, out of disk), then resumed and compared."""

import json
import random
import shutil
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

from tests.torture.commands import CALLS, WRITES, Command, run
from tests.torture.figures import Figures

SWEEP_ID = "f00dfeed"
SWEEP = ("simulate", "--upscaling-speed", "1,5", "--tasks", "16", "--task-seconds", "5", "--parallel", "1")
_OF_SQLITE = ("-wal", "-shm", "-journal")
"""Ends of files of SQLite's own, which a process leaves that doesn't close its database; the next one reads them."""


@dataclass(frozen=True)
class Outcome:
    """What a sweep has left: its trials as the ledger has them, its traces, and the names of all files."""

    trials: dict[str, Any]
    traces: dict[str, bytes]
    files: frozenset[str]

    @classmethod
    def of(cls, home: Path) -> "Outcome":
        shown = run(home, "show", SWEEP_ID, "--json")
        if shown.code:
            return cls({"show": shown.said}, {}, frozenset())
        trials = {each["trial_id"]: (each["status"], each["scorecard"]) for each in json.loads(shown.said)["trials"]}
        files = {each.relative_to(home).as_posix(): each for each in home.rglob("*") if each.is_file()}
        # Earlier attempts are kept on purpose.
        kept = {name: path for name, path in files.items() if ".attempt" not in name and not name.endswith(_OF_SQLITE)}
        traces = {name: path.read_bytes() for name, path in kept.items() if name.endswith(".jsonl")}
        return cls(trials, traces, frozenset(kept))

    def difference(self, other: "Outcome") -> str | None:
        """Return how another outcome differs; None if it doesn't."""
        if self.trials != other.trials:
            return f"other trials: {other.trials}"[:600]
        if different := [name for name in self.traces if self.traces[name] != other.traces.get(name)]:
            return f"other traces: {different}"
        if self.files != other.files:
            return f"other files: {sorted(self.files ^ other.files)}"
        return None


class Struck:
    """One sweep, again and again: `undisturbed` is what it leaves when nothing happens."""

    def __init__(self, folder: Path, figures: Figures) -> None:
        self._folder, self._figures = folder, figures
        with self._home() as home:
            ended = run(home, *SWEEP)
            if ended.code:
                raise RuntimeError(ended.said)
            self.undisturbed = Outcome.of(home)
            self.files = [home, *home.rglob("*"), *(home / f"ledger.db{end}" for end in _OF_SQLITE)]

    @contextmanager
    def _home(self) -> Iterator[Path]:
        """A new home in always the same place, so that traces and paths are comparable."""
        home = self._folder / "home"
        shutil.rmtree(home, ignore_errors=True)
        with patch("orchestrator.sweeps.runner.new_sweep_id", lambda: SWEEP_ID):
            yield home

    def calls(self, which: Sequence[str], paths: Sequence[Path] = ()) -> list[str]:
        """Return the system calls that an undisturbed sweep makes."""
        with self._home() as home:
            command = Command(home, *SWEEP)
            command.under_strace(which, paths=paths)
            command.go().wait()
            return command.calls_made()

    def strike(self, name: str, faults: Sequence[str], which: Sequence[str], signals: Sequence[int]) -> None:
        """Let faults happen, resume the sweep or begin it anew, and note what is lost, left or badly said."""
        with self._home() as home:
            command = Command(home, *SWEEP)
            command.under_strace(which, faults, () if signals else self.files)
            struck = command.go().wait()
            if signals and struck.code == 0:
                return  # it made fewer calls this time, and ended before
            where = " ".join(faults)
            self._figures.count(name)
            self._figures.complain(name, where, struck.complaint(signals=signals))
            self._figures.complain(name, where, self._resumed(home))

    def _resumed(self, home: Path) -> str | None:
        listed = run(home, "list", "--json")
        if listed.code:
            return f"list: {listed.said}"
        again = run(home, "sweep", "--resume", SWEEP_ID) if json.loads(listed.said) else run(home, *SWEEP)
        if again.code:
            return f"resumed: exit code {again.code}: {again.said[-600:]}"
        if (different := self.undisturbed.difference(Outcome.of(home))) is not None:
            return different
        cleaned = run(home, "clean", "--dry-run")
        return None if cleaned.said.strip() == "nothing to clean" else f"left: {cleaned.said}"


def chosen(points: int, of: int, seed: int) -> list[int]:
    """Return so many different indices of `of` calls, in order: each one if there are no more."""
    return sorted(random.Random(seed).sample(range(of), min(points, of)))


def once(calls: Sequence[str], index: int, fault: str) -> list[str]:
    """Return the fault of one call. strace counts each kind of call for itself."""
    name = calls[index]
    return [f"{name}:{fault}:when={calls[: index + 1].count(name)}"]


def from_then_on(calls: Sequence[str], index: int, fault: str) -> list[str]:
    """Return the faults of one call and all later ones."""
    return [f"{name}:{fault}:when={calls[:index].count(name) + 1}+" for name in sorted(set(calls))]


def strike_all(folder: Path, figures: Figures, points: int, seed: int, progress: Callable[[str], None]) -> None:
    """Kill a sweep at so many points. Send it each other signal at a tenth, and fail its disk at a fifth as many."""
    struck = Struck(folder, figures)
    tenth, fifth = max(1, points // 10), max(1, points // 5)
    plans = [
        ("SIGKILL", "signal=SIGKILL", once, CALLS, (signal.SIGKILL,), points),
        ("SIGINT", "signal=SIGINT", once, CALLS, (signal.SIGINT,), tenth),
        ("SIGTERM", "signal=SIGTERM", once, CALLS, (signal.SIGTERM,), tenth),
        ("SIGHUP", "signal=SIGHUP", once, CALLS, (signal.SIGHUP,), tenth),
        ("disk full from then on", "error=ENOSPC", from_then_on, WRITES, (), fifth),
        ("disk full once", "error=ENOSPC", once, WRITES, (), fifth),
        ("I/O error", "error=EIO", once, WRITES, (), fifth),
    ]
    for name, fault, faults, which, signals, wanted in plans:
        calls = struck.calls(which, () if signals else struck.files)
        for index in chosen(wanted, len(calls), seed):
            progress(f"{name} at call {index} of {len(calls)}")
            struck.strike(name, faults(calls, index, fault), which, signals)
