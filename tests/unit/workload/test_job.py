"""The command line of the stress job."""

import json
import shlex
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.errors import WorkloadFailed
from orchestrator.model.workload import Workload
from orchestrator.workload.job import stress_entrypoint, stress_request
from tests.support.strategies import workloads


@given(workloads(), st.integers(0, 2**31))
def test_the_shell_hands_the_whole_request_to_the_job(workload: Workload, seed: int) -> None:
    *command, request = shlex.split(stress_entrypoint(workload, seed, "127.0.0.1:6379", python="/usr/bin/python3"))
    read = json.loads(request)

    assert command == ["PYTHONSAFEPATH=1", "/usr/bin/python3", "-m", "orchestrator.workload.stress"]
    assert {name: value for name, value in read.items() if name != "address"} == json.loads(
        json.dumps(stress_request(workload, seed))
    )
    assert read["address"] == "127.0.0.1:6379"


def test_nothing_in_a_workload_is_run_by_the_shell() -> None:
    nasty = Workload(resources={"'; rm -rf $HOME; `reboot` \n": 1.0})
    words = shlex.split(stress_entrypoint(nasty, 0, "127.0.0.1:6379"))

    assert len(words) == 5
    assert json.loads(words[4])["groups"][0]["resources"] == nasty.resources


def test_a_python_in_a_folder_with_spaces_is_quoted() -> None:
    words = shlex.split(stress_entrypoint(Workload(), 0, "127.0.0.1:6379", python="/my env/python"))

    assert words[:2] == ["PYTHONSAFEPATH=1", "/my env/python"]


def test_the_job_runs_under_the_same_python() -> None:
    assert shlex.split(stress_entrypoint(Workload(), 0, "127.0.0.1:6379"))[1] == sys.executable


def test_a_workload_that_is_too_long_for_a_command_is_refused() -> None:
    samples = {"distribution": "empirical", "samples": [1.25] * 50_000}
    long = Workload.model_validate({"groups": [{"name": "a", "tasks": 1, "seconds": samples}]})

    with pytest.raises(WorkloadFailed, match="a command holds"):
        stress_entrypoint(long, 0, "127.0.0.1:6379")
