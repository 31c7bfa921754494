"""The user's own script as a workload."""

import pytest
from pydantic import ValidationError

from orchestrator.model.job import Job
from orchestrator.model.spec import WorkloadOverrides
from orchestrator.model.workload import Workload

COMMAND = "python train.py --epochs 3"
OF_A_JOB = Workload(job=Job(entrypoint=COMMAND))


def test_a_command_alone_is_a_job() -> None:
    assert Job.model_validate(COMMAND) == Job(entrypoint=COMMAND)


@pytest.mark.parametrize("value", [{}, {"working_dir": "."}, {"entrypoint": ""}])
def test_a_job_without_a_command_says_how_to_give_one(value: dict[str, str]) -> None:
    with pytest.raises(ValidationError, match=r"--job 'python train\.py'"):
        Job.model_validate(value)


@pytest.mark.parametrize(
    ("command", "script"),
    [
        (COMMAND, "train.py"),
        ("/usr/bin/python3 -u train.py", "train.py"),
        ("python -m package.train", None),
        ("bash run.sh --out result.py", None),
        ("python 'unbalanced", None),
        ("", None),
    ],
)
def test_the_script_is_the_file_that_python_runs(command: str, script: str | None) -> None:
    assert Job.model_construct(entrypoint=command).script == script


def test_fields_of_the_stress_job_are_no_part_of_a_job() -> None:
    assert OF_A_JOB.model_dump(mode="json", exclude_none=True) == {"job": {"entrypoint": COMMAND, "content": ""}}
    assert (OF_A_JOB.shown("tasks"), OF_A_JOB.needs[0].resources, OF_A_JOB.cpu_seconds) == (None, {}, 0.0)
    assert not OF_A_JOB.all_at_once


def test_a_job_survives_json() -> None:
    assert Workload.model_validate_json(OF_A_JOB.model_dump_json()) == OF_A_JOB


def test_a_job_is_described_by_its_command() -> None:
    assert OF_A_JOB.describe() == f"job: {COMMAND}"


@pytest.mark.parametrize("field", [{"tasks": 5}, {"seconds": 1}, {"arrival": "ramp"}, {"labels": {"a": "b"}}])
def test_a_spec_with_a_job_and_tasks_is_refused(field: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match="a job brings its own tasks"):
        WorkloadOverrides.model_validate({"job": COMMAND, **field})


def test_a_spec_with_a_job_and_faults_is_taken() -> None:
    assert WorkloadOverrides.model_validate({"job": COMMAND, "faults": ["kill@20"]}).job == Job(entrypoint=COMMAND)
