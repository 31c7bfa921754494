"""Real parts for integration tests: the command as a user runs it, and a Ray cluster that is none of ours."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from orchestrator.backends.live import node_process as nodehost
from orchestrator.backends.local.processes import find_marked
from tests.integration.arm64 import mixed_engine
from tests.integration.browser import browser
from tests.integration.engine import engine
from tests.integration.ray_images import ray_engine

if TYPE_CHECKING:
    from tests.integration.watched import Swept, Watched

__all__ = ["browser", "engine", "mixed_engine", "ray_engine"]  # fixtures that several modules share

# A shell that starts something in the background lets it ignore Ctrl-C, and so everything that is started from there.
# SIGTERM, which `timeout` sends, ends the tests as Ctrl-C does: what they started and registered goes with them.
for each in (signal.SIGINT, signal.SIGTERM):
    signal.signal(each, signal.default_int_handler)

BIN = Path(sys.executable).parent
ROOT = Path(__file__).parents[2]
PHASE_TIMEOUT_S = 180.0
SATURATED = "the host's CPUs were saturated"


def require(name: str, found: bool, how: str) -> None:
    """Skip the test where `name` is missing, and say `how` to get it; fail if it has to be here.

    ORCHESTRATE_TEST_REQUIRE lists what has to be, separated by commas: in CI nothing may be skipped unseen.
    """
    if not found:
        required = os.environ.get("ORCHESTRATE_TEST_REQUIRE", "").split(",")
        message = f"{name} is missing: {how}"
        if name in (each.strip() for each in required):
            pytest.fail(message + " (ORCHESTRATE_TEST_REQUIRE names it)")
        pytest.skip(message)


def clean_environment(**more: str) -> dict[str, str]:
    """This environment without anything that points at a Ray cluster or at an `orchestrate` home."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("RAY_", "ORCHESTRATE_"))}
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


@pytest.fixture
def orchestrate(tmp_path: Path) -> Iterator[Orchestrate]:
    """A fresh home; whatever a failing test leaves in it is ended."""
    command = Orchestrate(tmp_path / "home")
    yield command
    if command.leftovers() or any(command.home.glob("clusters/*")):  # starting the command takes longer than looking
        command("clean", "--force")


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


@dataclass
class Bystander:
    """A Ray cluster started by hand, which no command of ours may ever touch."""

    address: str
    session: int

    def answers(self) -> bool:
        """Whether `ray status` works."""
        result = subprocess.run(
            [str(BIN / "ray"), "status", "--address", self.address],
            capture_output=True,
            text=True,
            env=clean_environment(RAY_AUTH_MODE="disabled"),
        )
        return result.returncode == 0 and "Node status" in result.stdout

    def processes(self) -> set[int]:
        """Ids of its raylet, GCS and monitor; idle workers come and go by themselves."""
        lasting = ("raylet", "gcs_server", "monitor.py")
        found = set()
        for member in nodehost.session_members(self.session):
            with contextlib.suppress(psutil.NoSuchProcess):
                if any(name in " ".join(member.cmdline()) for name in lasting):
                    found.add(member.pid)
        return found


@pytest.fixture(scope="session")
def bystander(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bystander]:
    """Started before the sweeps; every test that ends clusters looks at it afterwards."""
    port, folder = free_port(), Path(f"/tmp/bystander-{os.getpid()}")
    command = [str(BIN / "ray"), "start", "--head", f"--port={port}", f"--temp-dir={folder}", "--num-cpus=1"]
    command += ["--include-dashboard=false", "--disable-usage-stats", "--dashboard-agent-listen-port=0"]
    command += [f"--ray-client-server-port={free_port()}"]
    process = subprocess.Popen(
        command,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.STDOUT,
        env=clean_environment(RAY_AUTH_MODE="disabled"),
        start_new_session=True,
    )
    assert process.wait(120) == 0
    address = (folder / "ray_current_cluster").read_text().strip()
    yield Bystander(address, process.pid)
    for member in nodehost.session_members(process.pid):
        member.send_signal(signal.SIGKILL)


def disturbed(document: Any) -> bool:
    """Whether trials of a sweep are invalid for the only reason that this machine had something else to do."""
    reasons = [why for trial in document["trials"] for why in (trial["scorecard"] or {}).get("invalid_because", ())]
    return bool(reasons) and all(why.startswith(SATURATED) for why in reasons)


def ended_well(command: Orchestrate, code: int) -> bool:
    """Whether the last sweep ended as it should; that this machine was too busy for a valid trial is no fault of it."""
    return code == 0 or (code == 1 and disturbed(command.json("show", "@last")))


@pytest.fixture(scope="session")
def watched(tmp_path_factory: pytest.TempPathFactory, bystander: Bystander) -> Iterator["Watched"]:
    """The README's first command, once for all tests; once more if the machine was too busy for a valid sweep."""
    from tests.integration.watched import watching

    folder = tmp_path_factory.mktemp("watched")
    with watching(folder / "home") as seen:
        if not disturbed(seen.swept.document):
            yield seen
            return
    with watching(folder / "again") as seen:
        yield seen


@pytest.fixture(scope="session")
def both_autoscalers(tmp_path_factory: pytest.TempPathFactory, watched: "Watched") -> "Swept":
    """A smaller sweep of v1 and v2, which the same Prometheus watches; once more if the machine was too busy."""
    from tests.integration.watched import sweep_both

    folder = tmp_path_factory.mktemp("both")
    swept = sweep_both(folder / "home", watched)
    return sweep_both(folder / "again", watched) if disturbed(swept.document) else swept


def raylets(home: Path) -> dict[str, psutil.Process]:
    """The raylets of a home's cluster by Ray node id."""
    found = {}
    for process in find_marked(home):
        with contextlib.suppress(psutil.NoSuchProcess):
            if process.name() == "raylet":
                found[process.environ()["RAY_CLOUD_INSTANCE_ID"]] = process
    return found
