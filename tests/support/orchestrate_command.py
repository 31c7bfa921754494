"""The `orchestrate` command as a user runs it, and what its sweeps leave behind."""

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from orchestrator.backends.local.processes import find_marked

BIN = Path(sys.executable).parent
ROOT = Path(__file__).parents[2]
PHASE_TIMEOUT_S = 180.0
SATURATED = "the host's CPUs were saturated"


def clean_environment(**more: str) -> dict[str, str]:
    """This environment without anything that points at a Ray cluster or at an `orchestrate` home."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("RAY_", "ORCHESTRATE_", "COLUMNS"))}
    return {**kept, "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}", **more}


@dataclass
class Orchestrate:
    """The `orchestrate` command with a home of its own, and what its environment has beside the usual."""

    home: Path
    environment: dict[str, str] = field(default_factory=dict)

    def __call__(self, *arguments: str, timeout: float = 600) -> subprocess.CompletedProcess[str]:
        """Run it to its end."""
        return subprocess.run(
            self._command(*arguments),
            capture_output=True,
            text=True,
            timeout=timeout,
            env=clean_environment(**self.environment),
        )

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start it; what it says goes to `output.txt` in the home."""
        return self.launch(self._command(*arguments))

    def launch(self, command: Sequence[str], **environment: str) -> subprocess.Popen[str]:
        """Start another command, in the project's folder, whose output goes there too."""
        self.home.mkdir(exist_ok=True)
        with (self.home / "output.txt").open("w") as output:
            return subprocess.Popen(
                command,
                cwd=ROOT,
                stdout=output,
                stderr=subprocess.STDOUT,
                text=True,
                env=clean_environment(**self.environment, **environment),
                start_new_session=True,
            )

    def _command(self, *arguments: str) -> list[str]:
        return [str(BIN / "orchestrate"), "--home", str(self.home), *arguments]

    def output(self) -> str:
        """What a started command has said so far."""
        return (self.home / "output.txt").read_text()

    def json(self, *arguments: str) -> Any:
        """What it writes as JSON to stdout."""
        result = self(*arguments, "--json")
        assert result.returncode == 0, result.stderr
        return json.loads(result.stdout)

    def trace(self) -> list[dict[str, Any]]:
        """The events of the newest trace so far."""
        traces = sorted(self.home.glob("sweeps/*/*.jsonl"), key=lambda path: path.stat().st_mtime)
        lines = traces[-1].read_bytes().split(b"\n")[1:-1] if traces else []
        return [json.loads(line) for line in lines]

    def wait_for(
        self,
        seen: Callable[[], bool],
        process: subprocess.Popen[str],
        what: str,
        timeout_s: float = PHASE_TIMEOUT_S,
    ) -> None:
        """Wait until something is seen while the command runs."""
        deadline = time.monotonic() + timeout_s
        while not seen():
            assert process.poll() is None, f"ended before {what}: {self.output()}"
            assert time.monotonic() < deadline, f"no {what} within {timeout_s} s: {self.output()}"
            time.sleep(0.25)

    def leftovers(self) -> list[str]:
        """Command lines of the processes of this home that still run."""
        commands = []
        for process in find_marked(self.home):
            with contextlib.suppress(psutil.NoSuchProcess):
                commands.append(" ".join(process.cmdline()))
        return commands


def disturbed(document: Any) -> bool:
    """Whether trials of a sweep are invalid for the only reason that this machine had something else to do."""
    reasons = [why for trial in document["trials"] for why in (trial["scorecard"] or {}).get("invalid_because", ())]
    return bool(reasons) and all(why.startswith(SATURATED) for why in reasons)


def ended_well(command: Orchestrate, code: int) -> bool:
    """Whether the last sweep ended as it should; that this machine was too busy for a valid trial is no fault of it."""
    return code == 0 or (code == 1 and disturbed(command.json("show", "@last")))


def raylets(home: Path) -> dict[str, psutil.Process]:
    """The raylets of a home's cluster by Ray node id."""
    found = {}
    for process in find_marked(home):
        with contextlib.suppress(psutil.NoSuchProcess):
            if process.name() == "raylet":
                found[process.environ()["RAY_CLOUD_INSTANCE_ID"]] = process
    return found
