"""Real parts for integration tests: the command as a user runs it, and a Ray cluster that is none of ours."""

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from orchestrator.backends.live import node_process as nodehost
from tests.support.arm64_engine import mixed_engine
from tests.support.browser import browser
from tests.support.bystander import Bystander
from tests.support.docker_engine import engine
from tests.support.orchestrate_command import BIN, Orchestrate, clean_environment, disturbed
from tests.support.ray_images import ray_engine
from tests.support.requirements import free_port

if TYPE_CHECKING:
    from tests.support.watched_sweep import Swept, Watched

__all__ = ["browser", "engine", "mixed_engine", "ray_engine"]  # fixtures that several modules share

# A shell that starts something in the background lets it ignore Ctrl-C, and so everything that is started from there.
# SIGTERM, which `timeout` sends, ends the tests as Ctrl-C does: what they started and registered goes with them.
for each in (signal.SIGINT, signal.SIGTERM):
    signal.signal(each, signal.default_int_handler)


@pytest.fixture
def orchestrate(tmp_path: Path) -> Iterator[Orchestrate]:
    """A fresh home; whatever a failing test leaves in it is ended."""
    command = Orchestrate(tmp_path / "home")
    yield command
    if command.leftovers() or any(command.home.glob("clusters/*")):  # starting the command takes longer than looking
        command("clean", "--force")


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


@pytest.fixture(scope="session")
def watched(tmp_path_factory: pytest.TempPathFactory, bystander: Bystander) -> Iterator["Watched"]:
    """The README's `make sweep`, once for all tests; once more if the machine was too busy for a valid sweep."""
    from tests.support.watched_sweep import watching

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
    from tests.support.watched_sweep import sweep_both

    folder = tmp_path_factory.mktemp("both")
    swept = sweep_both(folder / "home", watched)
    return sweep_both(folder / "again", watched) if disturbed(swept.document) else swept
