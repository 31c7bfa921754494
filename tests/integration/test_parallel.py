"""Simulated trials in several processes and on a real Ray cluster: the same bytes as one by one, and nothing left."""

import json
import os
import signal
import time
from pathlib import Path

import psutil
import pytest

from tests.support.bystander import Bystander
from tests.support.orchestrate_command import Orchestrate

# Failures, refused launches and both autoscalers are among them.
SWEEP = ("simulate", "--autoscaler", "v1,v2", "--upscaling-speed", "1,10", "--arrival", "poisson", "--repeat", "2")
ENDLESS = ("simulate", "--upscaling-speed", ",".join(map(str, range(1, 51))), "--repeat", "10", "--parallel", "2")


def _results(home: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in home.glob("sweeps/*/*.jsonl")}


def _scorecards(command: Orchestrate) -> list[object]:
    return [(trial["trial_id"], trial["scorecard"]) for trial in command.json("show", "@last")["trials"]]


@pytest.fixture(scope="module")
def serial(tmp_path_factory: pytest.TempPathFactory) -> Orchestrate:
    """The sweep, one trial after another."""
    command = Orchestrate(tmp_path_factory.mktemp("serial"))
    result = command(*SWEEP, "--parallel", "1")
    assert result.returncode == 0, result.stderr
    return command


def test_processes_give_the_bytes_of_one(serial: Orchestrate, orchestrate: Orchestrate) -> None:
    result = orchestrate(*SWEEP, "--parallel", "3")

    assert result.returncode == 0, result.stderr
    assert len(_results(serial.home)) == 8
    assert _results(orchestrate.home) == _results(serial.home)
    assert _scorecards(orchestrate) == _scorecards(serial)


def test_a_ray_cluster_gives_the_bytes_of_one_process(
    serial: Orchestrate, bystander: Bystander, tmp_path: Path
) -> None:
    orchestrate = Orchestrate(tmp_path, {"RAY_AUTH_MODE": "disabled"})
    result = orchestrate(*SWEEP, "--parallel", "ray", "--address", bystander.address)

    assert result.returncode == 0, result.stderr
    assert _results(orchestrate.home) == _results(serial.home)
    assert _scorecards(orchestrate) == _scorecards(serial)
    assert bystander.answers()


def test_failed_trials_fail_the_same_way_elsewhere(orchestrate: Orchestrate, tmp_path: Path) -> None:
    options = ("simulate", "--upscaling-speed", "1,10", "--timeout", "3m")
    alone = Orchestrate(tmp_path / "alone")
    results = [alone(*options, "--parallel", "1"), orchestrate(*options, "--parallel", "2")]

    assert [result.returncode for result in results] == [1, 1]
    assert "took longer than 180 virtual s" in results[1].stdout
    assert _results(alone.home) == _results(orchestrate.home)


@pytest.mark.parametrize("by", [signal.SIGINT, signal.SIGKILL])
def test_no_process_outlives_the_command(orchestrate: Orchestrate, by: signal.Signals) -> None:
    process = orchestrate.start(*ENDLESS)
    orchestrate.wait_for(lambda: len(_results(orchestrate.home)) > 3, process, "fourth trace")
    workers = psutil.Process(process.pid).children(recursive=True)
    os.kill(process.pid, by)
    code = process.wait(30)
    _, alive = psutil.wait_procs(workers, timeout=10)

    assert len(workers) >= 2
    assert alive == []
    assert code == (130 if by == signal.SIGINT else -signal.SIGKILL)


def test_what_was_finished_before_ctrl_c_is_kept_and_the_rest_can_follow(orchestrate: Orchestrate) -> None:
    process = orchestrate.start("simulate", "--repeat", "24", "--parallel", "2")
    orchestrate.wait_for(lambda: len(_results(orchestrate.home)) > 5, process, "sixth trace")
    os.kill(process.pid, signal.SIGINT)
    assert process.wait(30) == 130
    document = orchestrate.json("show", "@last")
    done = [trial for trial in document["trials"] if trial["status"] == "done"]
    before = {trial["trial_id"]: os.stat(trial["trace"]).st_mtime_ns for trial in done}
    time.sleep(0.01)
    resumed = orchestrate("simulate", "--resume", "@last", "--parallel", "2")
    document = orchestrate.json("show", "@last")

    assert 4 <= len(done) < 24
    assert resumed.returncode == 0, resumed.stderr
    assert {trial["status"] for trial in document["trials"]} == {"done"}
    assert {name: os.stat(_results_path(document, name)).st_mtime_ns for name in before} == before


def _results_path(document: dict[str, list[dict[str, str]]], trial_id: str) -> str:
    return next(trial["trace"] for trial in document["trials"] if trial["trial_id"] == trial_id)


def test_parallel_needs_the_simulator_and_ray_a_cluster(orchestrate: Orchestrate) -> None:
    local = orchestrate("sweep", "--parallel", "2")
    nowhere = orchestrate(*SWEEP, "--parallel", "ray", "--address", "127.0.0.1:1")

    assert (local.returncode, nowhere.returncode) == (2, 3), nowhere.stderr
    assert "--parallel is for the simulator" in local.stderr
    assert "no Ray cluster answers at 127.0.0.1:1" in nowhere.stderr
    assert "Traceback" not in nowhere.stderr
    assert json.loads(orchestrate("list", "--json").stdout) == []
