"""`orchestrate stack up --native` with a real Prometheus, on a machine where no Docker answers."""

import json
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from orchestrator.grafana.client import TOKEN_VARIABLE
from orchestrator.stack.probes import fetch
from tests.support.orchestrate_command import BIN, Orchestrate
from tests.support.prometheus_server import HOW
from tests.support.requirements import free_port, require


class Stack:
    """The native stack of one home, on a port of its own."""

    def __init__(self, home: Path, program: str, folder: Path) -> None:
        # Prometheus is on this PATH, and Docker isn't.
        folder.mkdir()
        (folder / "prometheus").symlink_to(program)
        self.command = Orchestrate(home, {"PATH": f"{folder}{os.pathsep}{BIN}", TOKEN_VARIABLE: "glsa_x"})
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.folder = home / "stack" / "native"

    def up(self) -> str:
        """What a successful `up` prints."""
        result = self.command("stack", "up", "--native", "--prometheus-port", str(self.port))
        assert result.returncode == 0, result.stderr
        return result.stdout

    def processes(self) -> list[int]:
        """Those that store into this home."""
        flag = f"--storage.tsdb.path={self.folder}/data"
        found = psutil.process_iter(["pid", "cmdline"])
        return [each.info["pid"] for each in found if flag in (each.info["cmdline"] or ())]


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    """Not started; whatever a failing test leaves is removed."""
    program = shutil.which("prometheus")
    require("prometheus", program is not None, HOW)
    made = Stack(tmp_path / "it's a home", str(program), tmp_path / "bin")
    yield made
    made.command("stack", "down", "--volumes")


def test_it_comes_up_once_and_goes_down_again(stack: Stack) -> None:
    said = stack.up()
    processes = stack.processes()

    assert len(processes) == 1
    assert os.getsid(processes[0]) == processes[0]
    assert TOKEN_VARIABLE not in psutil.Process(processes[0]).environ()
    assert f"Prometheus  {stack.url}\n" in said
    assert f"--datasource-url {stack.url}" in said
    status, body = fetch(f"{stack.url}/api/v1/rules")
    assert status == 200
    groups = json.loads(body)["data"]["groups"]
    assert {Path(group["file"]).name for group in groups} == {"alerts.yml", "recording.yml"}
    flags = json.loads(fetch(f"{stack.url}/api/v1/status/flags")[1])["data"]
    assert flags["web.enable-remote-write-receiver"] == "true"
    state = stack.command.json("stack", "status")
    assert (state["running"], state["healthy"]) == (True, True)
    assert [(each["name"], each["url"], each["native"]) for each in state["services"]] == [
        ("prometheus", stack.url, True)
    ]

    assert "it runs already" in stack.up()
    assert stack.processes() == processes
    assert stack.command("clean", "--force").returncode == 0
    assert stack.processes() == processes

    down = stack.command("stack", "down")
    assert (down.returncode, down.stdout) == (0, "removed the stack; its data stays\n")
    assert stack.processes() == []
    assert (stack.folder / "data").is_dir()
    again = stack.command("stack", "down")
    assert (again.returncode, again.stdout) == (0, "the stack isn't up\n")
    assert [each["state"] for each in stack.command.json("stack", "status")["services"]] == ["missing"]
    assert stack.command("stack", "down", "--volumes").returncode == 0
    assert not stack.folder.exists()


def test_after_a_kill_it_comes_up_again(stack: Stack) -> None:
    stack.up()
    (pid,) = stack.processes()
    os.kill(pid, signal.SIGKILL)
    psutil.wait_procs([psutil.Process(pid)] if psutil.pid_exists(pid) else [], timeout=10)

    assert stack.command.json("stack", "status")["services"][0]["state"] == "exited"
    assert "it runs already" not in stack.up()
    assert len(stack.processes()) == 1


def test_one_that_refuses_its_configuration_is_told_and_leaves_no_process(stack: Stack) -> None:
    stack.up()
    stack.command("stack", "down")
    shutil.rmtree(stack.folder / "data")
    (stack.folder / "data").touch()
    result = stack.command("stack", "up", "--native", "--prometheus-port", str(stack.port))

    assert result.returncode == 1
    assert "error: Prometheus ended at once: " in result.stderr
    assert "Traceback" not in result.stderr
    assert stack.processes() == []


def test_without_prometheus_on_path_it_is_named(orchestrate: Orchestrate) -> None:
    orchestrate.environment["PATH"] = str(BIN)
    result = orchestrate("stack", "up", "--native")

    assert result.returncode == 3
    assert result.stderr.startswith("error: there is no prometheus on PATH\nhint: install")
    assert not orchestrate.home.exists()


def test_grafanas_options_are_refused(orchestrate: Orchestrate) -> None:
    result = orchestrate("stack", "up", "--native", "--grafana-port", "3001")

    assert (result.returncode, result.stderr.splitlines()[0]) == (2, "error: --native runs no Grafana")
