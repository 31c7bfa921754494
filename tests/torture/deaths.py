"""Real local trials whose parts are killed or hang: the sweep must notice, say it, and leave nothing."""

import contextlib
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from orchestrator.backends.local.processes import find_marked
from tests.support.orchestrate_command import Orchestrate, ended_well
from tests.torture.figures import Figures

NOTICED_WITHIN_S = 10.0
_TRIAL = ("sweep", "--upscaling-speed", "5", "--idle-timeout-minutes", "0.1", "--tasks", "30", "--task-seconds", "4")
VICTIMS = {
    "GCS": "gcs_server",
    "monitor": "monitor.py",
    "dashboard": "dashboard.py",
    "worker node": "raylet",
}
"""Parts of a cluster, and a word of their command line."""


def kill_parts(folder: Path, figures: Figures, progress: Callable[[str], None], rounds: int = 1) -> None:
    """Kill each part of a cluster, and let each hang; kill the orchestrator, clean up, and resume."""
    for part, word in VICTIMS.items():
        for name, number in (("killed", signal.SIGKILL), ("hangs", signal.SIGSTOP)):
            kind = f"{part} {name}"
            progress(kind)
            figures.count(kind)
            figures.complain(kind, "", _complaint(folder, word, number))
    for index in range(rounds):
        kind = "real sweep killed"
        progress(f"{kind}: {index}")
        figures.count(kind)
        figures.complain(kind, f"after {index * 2} s", _killed(folder, index * 2.0))


def _begun(folder: Path) -> tuple[Orchestrate, subprocess.Popen[str]]:
    shutil.rmtree(folder / "home", ignore_errors=True)
    command = Orchestrate(folder / "home")
    return command, command.start(*_TRIAL)


def _running(command: Orchestrate, process: subprocess.Popen[str]) -> None:
    """Wait until tasks of the trial have ended on nodes that were launched for it."""
    command.wait_for(lambda: len(_seen(command, "running")) > 1, process, "nodes that run tasks", timeout_s=300)
    time.sleep(3)


def _seen(command: Orchestrate, state: str) -> list[dict[str, Any]]:
    return [each for each in command.trace() if each["type"] == "node" and each["state"] == state]


def _complaint(folder: Path, word: str, number: signal.Signals) -> str | None:
    command, process = _begun(folder)
    victims: list[psutil.Process] = []
    try:
        _running(command, process)
        before = len(command.trace())
        victims = [each for each in find_marked(command.home) if word in _command_line(each)][-1:]
        for each in victims:
            each.send_signal(number)
        struck = time.monotonic()
        while process.poll() is None and not _tells(command.trace()[before:]):
            if time.monotonic() - struck > 60:
                return "isn't noticed within 60 s"
            time.sleep(0.1)
        noticed_s = time.monotonic() - struck
    finally:
        for each in victims:
            with contextlib.suppress(psutil.NoSuchProcess):
                each.send_signal(signal.SIGCONT)
    return _ended(command, process) or (
        None if noticed_s <= NOTICED_WITHIN_S else f"is noticed after {noticed_s:.0f} s only"
    )


def _command_line(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.NoSuchProcess:
        return ""


def _tells(events: list[dict[str, Any]]) -> bool:
    """Whether the trace says that something is wrong: a note, a failed phase, or a node that died."""
    return any(
        each["type"] == "note" or each.get("phase") == "failed" or each.get("state") == "failed" for each in events
    )


def _ended(command: Orchestrate, process: subprocess.Popen[str]) -> str | None:
    """Return what is wrong once the sweep has ended: a trial that counts as valid, or something left."""
    try:
        process.wait(300)
    except subprocess.TimeoutExpired:
        process.kill()
        return f"the sweep hangs: {command.output()[-600:]}"
    (trial,) = command.json("show", "@last")["trials"]
    if trial["status"] == "done" and not trial["scorecard"]["invalid_because"]:
        return "the trial counts as valid"
    if left := command.leftovers():
        return f"left: {left}"
    return None


def _killed(folder: Path, after_s: float) -> str | None:
    command, process = _begun(folder)
    command.wait_for(lambda: bool(list(command.home.glob("clusters/*"))), process, "a cluster")
    time.sleep(after_s)
    process.kill()
    process.wait()
    cleaned = command("clean")
    if cleaned.returncode or command.leftovers():
        return f"clean leaves {command.leftovers()}: {cleaned.stderr}"
    resumed = command("sweep", "--resume", "@last")
    if not ended_well(command, resumed.returncode):
        return f"can't be resumed: {resumed.stderr[-600:]}"
    return f"left: {command.leftovers()}" if command.leftovers() else None
