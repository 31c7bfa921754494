"""Many trials in one process: what it holds must not grow with them."""

import shutil
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.support.orchestrate_command import Orchestrate
from tests.torture.figures import Figures

# A quarter of the trials each: the first warms up, and the last is compared with the second.
_QUARTERS = 4
_GROWTH = 1.2


@dataclass(frozen=True)
class Held:
    """What a process and its children hold."""

    memory_mb: float
    descriptors: int
    threads: int
    processes: int

    @classmethod
    def by(cls, pid: int) -> "Held":
        process = psutil.Process(pid)
        return cls(
            process.memory_full_info().uss / 1e6,
            process.num_fds(),
            process.num_threads(),
            len(process.children(recursive=True)),
        )


def soak(folder: Path, figures: Figures, kind: str, *arguments: str, progress: Callable[[str], None]) -> None:
    """Run a sweep, and compare what its process holds in its second quarter with its last."""
    shutil.rmtree(folder / "home", ignore_errors=True)
    command = Orchestrate(folder / "home")
    running = command.start(*arguments)
    samples: list[tuple[int, Held]] = []
    while running.poll() is None:
        traces = len(list(command.home.glob("sweeps/*/*.jsonl")))
        try:
            samples.append((traces, Held.by(running.pid)))
        except psutil.NoSuchProcess:
            break
        time.sleep(0.25)
    code = running.wait()
    trials = max((number for number, _ in samples), default=0)
    figures.count(kind, trials)
    if code:
        figures.complain(kind, "", f"exit code {code}: {command.output()[-600:]}")
    early, late = (
        [held for number, held in samples if low < number / trials * _QUARTERS <= high]
        for low, high in ((1, 2), (3, 4))
    )
    for name in ("memory_mb", "descriptors", "threads", "processes"):
        before, after = (statistics.median(getattr(held, name) for held in part) for part in (early, late))
        progress(f"{kind}: {name} {before:g} → {after:g}")
        if after > before * _GROWTH + 2:
            figures.complain(kind, name, f"grows from {before:g} to {after:g}")
    if left := command.leftovers():
        figures.complain(kind, "left", str(left))


def simulated(trials: int) -> tuple[str, ...]:
    """Return the arguments of a simulated sweep of so many trials."""
    return (
        "simulate",
        "--upscaling-speed",
        "1,5",
        "--repeat",
        str(max(2, trials // 2)),
        "--tasks",
        "64",
        "--parallel",
        "1",
    )


def local(trials: int) -> tuple[str, ...]:
    """Return the arguments of a local sweep of so many short trials."""
    short = ("--idle-timeout-minutes", "0.05", "--tasks", "4", "--task-seconds", "1")
    return ("sweep", "--upscaling-speed", "5", "--repeat", str(trials), *short)
