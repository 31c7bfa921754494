"""Scripts of users on real local clusters: each ends as it should, with its log, and leaves nothing behind."""

import os
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from orchestrator.model.events import Event, PhaseEvent, TaskEvent
from orchestrator.trace.file import Trace, read_trace
from tests.support import docker_sweeps
from tests.support.docker_engine import Engine
from tests.support.orchestrate_command import ROOT, Orchestrate

pytestmark = pytest.mark.alone

takes_minutes = pytest.mark.skipif(
    "ORCHESTRATE_TEST_JOBS" not in os.environ,
    reason="scripts of libraries and in containers take minutes: make test-jobs",
)

EXAMPLES = ROOT / "docs" / "examples"
OPTIONS = ("--idle-timeout-minutes", "0.1", "--metrics-port", "0")

FAILING = """
import ray

@ray.remote(max_retries=0)
def broken():
    raise ValueError("no luck today")

ray.get(broken.remote())
"""

ENDLESS = """
import time
import ray

ray.init()
print("waiting for ever", flush=True)
while True:
    time.sleep(1)
"""

DETACHED = """
import ray

@ray.remote
class Keeper:
    def ping(self):
        return "pong"

keeper = Keeper.options(name="keeper", lifetime="detached").remote()
print(ray.get(keeper.ping.remote()))
"""

FINE = """
import ray

@ray.remote(num_cpus=1)
def work():
    return 1

@ray.remote(num_cpus=1)
class Counter:
    def add(self, numbers):
        return sum(numbers)

print("the sum is", ray.get(Counter.remote().add.remote(ray.get([work.remote() for _ in range(4)]))))
"""


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A working directory with the scripts of this page and of `docs/examples/`."""
    folder = Path(shutil.copytree(EXAMPLES, tmp_path / "files"))
    for name, script in (("failing", FAILING), ("endless", ENDLESS), ("detached", DETACHED), ("fine", FINE)):
        (folder / f"{name}.py").write_text(script)
    return folder


def sweep(orchestrate: Orchestrate, files: Path, command: str, *more: str, speeds: str = "10") -> list[Any]:
    """The trials of a sweep with a script."""
    job = ("--job", command, "--working-dir", str(files), "--upscaling-speed", speeds)
    result = orchestrate("sweep", *job, *OPTIONS, *more)
    assert "Traceback" not in result.stderr, result.stderr
    trials: list[Any] = orchestrate.json("show", "@last")["trials"]
    assert orchestrate.leftovers() == []
    return trials


def trace_of(trial: Any) -> Trace:
    return read_trace(Path(trial["trace"]))


def log_of(trial: Any) -> str:
    return Path(trial["trace"]).with_suffix(".log").read_text()


def moment(events: tuple[Event, ...], phase: str) -> float:
    [found] = [event.t for event in events if isinstance(event, PhaseEvent) and event.phase == phase]
    return found


def assert_ran(trial: Any, output: str) -> list[TaskEvent]:
    """Check that a trial's script ran well, and return what Ray recorded of it."""
    assert (trial["status"], trial["reason"]) == ("done", "")
    assert output in log_of(trial)
    events = trace_of(trial).events
    span = moment(events, "scaling_down") - moment(events, "running")
    assert trial["scorecard"]["makespan_s"] == pytest.approx(span)
    return [event for event in events if isinstance(event, TaskEvent)]


def test_the_script_of_the_guide_runs_unchanged_but_for_its_size(orchestrate: Orchestrate, files: Path) -> None:
    script = files / "stress-job.py"
    script.write_text(script.read_text().replace("time.sleep(120)", "time.sleep(2)").replace("range(512)", "range(8)"))
    [trial] = sweep(orchestrate, files, "python stress-job.py")
    tasks = assert_ran(trial, "")

    assert [(task.cpus, task.ok, task.node_type != "") for task in tasks] == [(1.0, True, True)] * 8
    assert all(task.ended - task.started >= 2 for task in tasks)
    assert trial["scorecard"]["launches"] > 0


def test_tasks_and_actors_come_from_rays_own_records(orchestrate: Orchestrate, files: Path) -> None:
    [trial] = sweep(orchestrate, files, "python fine.py")
    records = assert_ran(trial, "the sum is 4")

    named = sorted((event.model_extra or {}).items() >= {"actor": True}.items() for event in records)
    assert named == [False] * 4 + [True]


@takes_minutes
def test_scripts_run_in_containers_and_one_that_leaves_an_actor_fails(
    ray_engine: Engine, tmp_path: Path, files: Path
) -> None:
    lab = docker_sweeps.in_docker(ray_engine, tmp_path / "home")
    job = ("--working-dir", str(files), "--upscaling-speed", "10", "--metrics-port", "0")
    try:
        lab(*docker_sweeps.options(tmp_path), "--job", "python fine.py", *job)
        [trial] = lab.json("show", "@last")["trials"]
        assert sorted(task.node_type for task in assert_ran(trial, "the sum is 4")) != []

        lab(*docker_sweeps.options(tmp_path), "--job", "python detached.py", *job)
        [trial] = lab.json("show", "@last")["trials"]
        assert "left the actor Keeper (keeper) behind" in trial["reason"]
        docker_sweeps.assert_nothing_is_left(ray_engine, lab.home)
    finally:
        lab("clean", "--force")


@takes_minutes
def test_records_that_ray_did_not_keep_are_counted_and_their_numbers_left_out(
    orchestrate: Orchestrate, files: Path
) -> None:
    orchestrate.environment["RAY_task_events_max_num_task_in_gcs"] = "2"
    [trial] = sweep(orchestrate, files, "python fine.py")
    kept = [event for event in assert_ran(trial, "the sum is 4") if not (event.model_extra or {})["actor"]]
    card = trial["scorecard"]

    assert len(kept) < 4
    [warning] = [each for each in card["warnings"] if "no complete record" in each]
    assert "waits, CPU use and elasticity are left out" in warning
    assert (card["cpu_utilisation"], card["theta_u"], card["task_wait_s"]) == (None, None, {})


@takes_minutes
def test_a_script_with_ray_data_is_swept_over_two_speeds(orchestrate: Orchestrate, files: Path) -> None:
    trials = sweep(orchestrate, files, "python ray_data.py", speeds="1,10")

    assert len(trials) == 2
    assert all(assert_ran(trial, "the sum of the squares is 21253400") for trial in trials)


@takes_minutes
def test_a_script_with_ray_tune_is_swept_over_two_speeds(orchestrate: Orchestrate, files: Path) -> None:
    trials = sweep(orchestrate, files, "python ray_tune.py", speeds="1,10")

    assert len(trials) == 2
    assert all(assert_ran(trial, "the best value is 2") for trial in trials)


def test_scripts_that_fail_never_end_or_leave_actors_fail_their_trials_alone(
    orchestrate: Orchestrate, files: Path
) -> None:
    """Each is one trial; the next one of the same home starts clean."""
    [failed] = sweep(orchestrate, files, "python failing.py")
    assert (failed["status"], "no luck today" in failed["reason"]) == ("failed", True)
    assert "no luck today" in log_of(failed)

    [endless] = sweep(orchestrate, files, "python endless.py", "--timeout", "100s")
    assert re.search("longer than 100 s", endless["reason"])
    assert "waiting for ever" in log_of(endless)

    detached = sweep(orchestrate, files, "python detached.py", speeds="1,10")
    reasons = [trial["reason"] for trial in detached]
    assert all("left the actor Keeper (keeper) behind" in reason for reason in reasons), reasons
    assert "pong" in log_of(detached[1]), "the second trial met no actor of the first"
