"""Ctrl-C, kill -9 of the orchestrator, and kill -9 of a node, all in the middle of a trial."""

import contextlib
import os
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from orchestrator.backends.live.ownership import Owner
from orchestrator.backends.local.processes import find_marked
from orchestrator.grafana.client import TOKEN_VARIABLE
from tests.support.bystander import Bystander
from tests.support.grafana_standin import TOKEN, Standin
from tests.support.orchestrate_command import Orchestrate, ended_well, raylets

pytestmark = pytest.mark.alone

SMALL = ["--idle-timeout-minutes", "0.1", "--tasks", "8", "--task-seconds", "3"]
LONG = ["--idle-timeout-minutes", "0.1", "--tasks", "24", "--task-seconds", "5"]


def in_phase(command: Orchestrate, phase: str) -> bool:
    """Whether the newest trial has entered a phase."""
    return any(event["type"] == "phase" and event["phase"] == phase for event in command.trace())


def tasks_ended(command: Orchestrate) -> int:
    """Tasks of the newest trial that have ended."""
    return sum(1 for event in command.trace() if event["type"] == "task")


@pytest.fixture
def silent_grafana(orchestrate: Orchestrate) -> Iterator[str]:
    """The URL of one that takes every request and answers none."""
    orchestrate.environment[TOKEN_VARIABLE] = TOKEN
    with Standin(fault=lambda method, path: "silence") as standin:
        yield standin.url


def test_ctrl_c_leaves_nothing_and_the_sweep_can_be_resumed(
    orchestrate: Orchestrate, bystander: Bystander, silent_grafana: str
) -> None:
    """All of it beside a Grafana that never answers, which makes no difference."""
    annotate = ("--annotate", silent_grafana)
    process = orchestrate.start("sweep", "--upscaling-speed", "1,5", *SMALL, *annotate)
    orchestrate.wait_for(lambda: orchestrate.output().count(" running:") == 2, process, "second trial")
    others = bystander.processes()

    os.kill(process.pid, signal.SIGINT)
    begun = time.monotonic()
    code = process.wait(30)

    assert code == 130, orchestrate.output()
    assert time.monotonic() - begun < 15
    assert orchestrate.leftovers() == []
    assert "--resume" in orchestrate.output()
    document = orchestrate.json("show", "@last")
    assert [trial["status"] for trial in document["trials"]] == ["done", "interrupted"]
    assert document["status"] == "interrupted"

    first = Path(document["trials"][0]["trace"])
    written = first.stat().st_mtime_ns
    resumed = orchestrate("sweep", "--resume", "@last", *annotate)

    assert ended_well(orchestrate, resumed.returncode), resumed.stdout + resumed.stderr
    assert "note: --annotate: " in resumed.stderr
    assert "annotations: 0 events as annotations in Grafana, " in resumed.stderr
    document = orchestrate.json("show", "@last")
    assert [trial["status"] for trial in document["trials"]] == ["done", "done"]
    assert first.stat().st_mtime_ns == written
    assert others <= bystander.processes()
    assert bystander.answers()


def test_after_kill_9_clean_removes_everything_and_nothing_else(orchestrate: Orchestrate, bystander: Bystander) -> None:
    orchestrate.environment[TOKEN_VARIABLE] = TOKEN
    process = orchestrate.start("sweep", "--upscaling-speed", "5", *LONG)
    orchestrate.wait_for(lambda: in_phase(orchestrate, "running"), process, "running trial")
    [owner_file] = orchestrate.home.glob("clusters/*/owner.json")
    owner = Owner.read(owner_file)
    assert owner is not None
    assert_only_on_loopback(orchestrate.home)
    assert_token_is_asked_for(owner.dashboard)
    assert_nobody_inherits_a_secret(orchestrate.home)
    assert "x86_worker_node" in orchestrate("status").stdout
    assert orchestrate("clean").stdout.strip() == "nothing to clean"
    others = bystander.processes()

    process.kill()
    process.wait()
    assert len(orchestrate.leftovers()) > 5
    would = orchestrate("clean", "--dry-run")
    assert owner.cluster_id in would.stdout
    assert len(orchestrate.leftovers()) > 5
    cleaned = orchestrate("clean")

    assert cleaned.returncode == 0
    assert owner.cluster_id in cleaned.stdout
    assert orchestrate.leftovers() == []
    assert not Path(owner.scratch).exists()
    assert not owner_file.exists()
    assert [sweep["status"] for sweep in orchestrate.json("list")] == ["interrupted"]
    assert others <= bystander.processes()
    assert bystander.answers()
    assert orchestrate("clean").stdout.strip() == "nothing to clean"


def assert_only_on_loopback(home: Path) -> None:
    """Every port that a process of the cluster listens on is on 127.0.0.1."""
    listeners = []
    for process in find_marked(home):
        with contextlib.suppress(psutil.NoSuchProcess):  # idle workers come and go
            listeners += [found for found in process.net_connections("inet") if found.status == "LISTEN"]

    assert listeners
    assert {found.laddr.ip for found in listeners} <= {"127.0.0.1", "::1", "::ffff:127.0.0.1"}


def assert_token_is_asked_for(dashboard: str) -> None:
    """The jobs API refuses a request without the token."""
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(f"{dashboard}/api/jobs/", timeout=10)

    assert refused.value.code == 401


def assert_nobody_inherits_a_secret(home: Path) -> None:
    """Ray runs anybody's code: no process of the cluster has the token that the sweep was started with."""
    environments = []
    for process in find_marked(home):
        with contextlib.suppress(psutil.NoSuchProcess):
            environments.append(process.environ())

    assert any(environments)
    assert not [each for each in environments if TOKEN in each.values()]


def test_a_killed_node_is_a_failed_node_event_and_the_trial_goes_on(orchestrate: Orchestrate) -> None:
    process = orchestrate.start("sweep", "--upscaling-speed", "5", "--isolation", "fresh", *LONG)
    orchestrate.wait_for(lambda: tasks_ended(orchestrate) >= 4, process, "ended tasks")
    alive = {e["node"] for e in orchestrate.trace() if e["type"] == "node" and e["state"] == "running"}
    head = {e["node"] for e in orchestrate.trace() if e["type"] == "node" and e["is_head"]}
    victim = next(node for node in raylets(orchestrate.home) if node in alive - head)
    killed = time.time()
    raylets(orchestrate.home)[victim].kill()

    try:
        code = process.wait(240)
    except subprocess.TimeoutExpired:
        pytest.fail(f"the trial hangs: {orchestrate.output()}")

    assert ended_well(orchestrate, code), orchestrate.output()
    [failed] = [e for e in orchestrate.trace() if e["type"] == "node" and e["state"] == "failed"]
    assert failed["node"] == victim
    assert failed["cause"] == "crash"
    assert abs(failed["t"] - killed) < 10
    [trial] = orchestrate.json("show", "@last")["trials"]
    assert trial["status"] == "done"
    assert trial["scorecard"]["node_failures"] == 1
    assert trial["scorecard"]["tasks"] == 24
    assert orchestrate.leftovers() == []
