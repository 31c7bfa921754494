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
from tests.support.orchestrate_command import Orchestrate, ended_well, raylets
from tests.torture.figures import Figures

NOTICED_WITHIN_S = 10.0
_PATIENCE_S = 60.0
_TRIAL = ("sweep", "--upscaling-speed", "5", "--idle-timeout-minutes", "0.1", "--tasks", "30", "--task-seconds", "4")
_SCRIPTS = {"GCS": "gcs_server", "monitor": "monitor.py", "dashboard": "dashboard.py"}
"""Parts of a cluster, and the program or script in their command line."""
_WORKER = "worker node"


def kill_parts(folder: Path, figures: Figures, progress: Callable[[str], None], rounds: int = 1) -> None:
    """Kill each part of a cluster, and let each hang; kill the orchestrator, clean up, and resume."""
    for part in (*_SCRIPTS, _WORKER):
        for name, number in (("killed", signal.SIGKILL), ("hangs", signal.SIGSTOP)):
            kind = f"{part} {name}"
            progress(kind)
            figures.count(kind)
            figures.complain(kind, "", _complaint(folder, part, number))
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


def _complaint(folder: Path, part: str, number: signal.Signals) -> str | None:
    command, process = _begun(folder)
    victims: list[psutil.Process] = []
    try:
        _running(command, process)
        before = len(command.trace())
        victims = _victims(command, part)
        if not victims:
            return f"no {part} was found"
        for each in victims:
            each.send_signal(number)
        struck = time.monotonic()
        while process.poll() is None and not _tells(command.trace()[before:]):
            if time.monotonic() - struck > _PATIENCE_S:
                break
            time.sleep(0.1)
        noticed_s = time.monotonic() - struck
    finally:
        for each in victims:
            with contextlib.suppress(psutil.NoSuchProcess):
                each.send_signal(signal.SIGCONT)
    wrong = [each for each in (_ended(command, process),) if each]
    if noticed_s > NOTICED_WITHIN_S:
        wrong.append(f"isn't noticed within {noticed_s:.0f} s")
    return "; ".join(wrong) or None


def _victims(command: Orchestrate, part: str) -> list[psutil.Process]:
    if part == _WORKER:
        newest = _seen(command, "running")[-1]["ray_node_id"]
        return [raylet for node, raylet in raylets(command.home).items() if node == newest]
    return [each for each in find_marked(command.home) if _runs(each, _SCRIPTS[part])]


def _runs(process: psutil.Process, script: str) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return any(Path(word).name == script for word in process.cmdline()[:3])
    return False


def _tells(events: list[dict[str, Any]]) -> bool:
    """Whether the trace says that something is wrong: a note, a failed phase, or a node that died."""
    return any(
        each["type"] == "note" or each.get("phase") == "failed" or each.get("state") == "failed" for each in events
    )


def _ended(command: Orchestrate, process: subprocess.Popen[str]) -> str | None:
    """Return what is wrong once the sweep has ended: a valid trial without a warning, or something left."""
    try:
        process.wait(300)
    except subprocess.TimeoutExpired:
        process.kill()
        return f"the sweep hangs: {command.output()[-600:]}"
    (trial,) = command.json("show", "@last")["trials"]
    card = trial["scorecard"]
    if trial["status"] == "done" and not (card["invalid_because"] or card["warnings"]):
        return "the trial counts as valid, without a warning"
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
