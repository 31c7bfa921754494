"""Clocks that step by an hour, before a sweep and while it runs, for one process of several (libfaketime)."""

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from tests.support.orchestrate_command import BIN, clean_environment
from tests.torture.figures import Figures

STEPS_S = (3600, -3600)
_LONG = ("simulate", "--upscaling-speed", "1,5", "--repeat", "4", "--tasks", "64", "--parallel", "1")


def library() -> Path | None:
    """Return the path of libfaketime; None if it isn't here."""
    for folder in Path("/usr/lib").glob("*-linux-gnu/faketime"):
        if (found := folder / "libfaketime.so.1").exists():
            return found
    return None


def _run(home: Path, *arguments: str, ahead_s: int = 0) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(BIN / "orchestrate"), "--home", str(home), *arguments],
        env=clean_environment(**_stepped(ahead_s)),
        capture_output=True,
        text=True,
        timeout=300,
    )


def _stepped(ahead_s: int) -> dict[str, str]:
    return {"LD_PRELOAD": str(library()), "FAKETIME": f"{ahead_s:+d}s", "FAKETIME_NO_CACHE": "1"} if ahead_s else {}


def step_all(folder: Path, figures: Figures, progress: Callable[[str], None]) -> None:
    """Look at a running sweep, and resume a killed one, with a clock that has stepped by an hour either way."""
    if library() is None:
        progress("no clock steps: libfaketime is missing (Debian: apt install faketime)")
        return
    for ahead_s in STEPS_S:
        kind = f"clock step of {ahead_s / 3600:+g} h"
        progress(kind)
        home = folder / "home"
        shutil.rmtree(home, ignore_errors=True)
        figures.count(kind, 3)
        figures.complain(kind, "", _complaint(home, ahead_s))


def _complaint(home: Path, ahead_s: int) -> str | None:
    running = subprocess.Popen(
        [str(BIN / "orchestrate"), "--home", str(home), *_LONG],
        env=clean_environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        deadline = time.monotonic() + 120
        while not list(home.glob("sweeps/*/*.jsonl")):
            if running.poll() is not None or time.monotonic() > deadline:
                return "the sweep ended too soon, or didn't begin"
            time.sleep(0.05)
        os.kill(running.pid, signal.SIGSTOP)
        (listed,) = json.loads(_run(home, "list", "--json", ahead_s=ahead_s).stdout)
        if listed["status"] != "running":
            return f"a running sweep counts as {listed['status']}"
        resumed = _run(home, "sweep", "--resume", "@last", ahead_s=ahead_s)
        if resumed.returncode != 2:
            return f"a running sweep was resumed: {resumed.stderr}"
    finally:
        running.kill()
        running.wait()
    resumed = _run(home, "sweep", "--resume", "@last", ahead_s=ahead_s)
    return None if resumed.returncode == 0 else f"a killed sweep can't be resumed: {resumed.stderr}"
