"""A job's files: what Ray would upload, and a hash that changes with them."""

import shutil
from pathlib import Path

import pytest

from orchestrator.errors import InputError
from orchestrator.inputs.job_files import located, runtime_env
from orchestrator.model.job import Job
from orchestrator.rayapi.packages import NoPackage, content_of

JOB = Job(entrypoint="python train.py")


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("original")
    (folder / "train.py").write_text("print('hello')\n")
    (folder / "data").mkdir()
    (folder / "data" / "numbers.csv").write_text("1,2\n")
    (folder / ".gitignore").write_text("*.log\n")
    return folder


@pytest.fixture
def folder(original: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(original, tmp_path / "copy"))


def job_in(folder: Path, **more: str) -> Job:
    return JOB.replace(working_dir=str(folder), **more)


def test_equal_files_have_the_same_hash_in_another_folder(original: Path, folder: Path, tmp_path: Path) -> None:
    one, other = (located(job_in(each), tmp_path / "home") for each in (original, folder))

    assert one.content == other.content
    assert one.working_dir != other.working_dir


def test_the_hash_changes_with_a_file_and_not_with_what_ray_leaves_out(folder: Path, tmp_path: Path) -> None:
    home = folder / ".orchestrate"
    before = located(job_in(folder), home).content
    for left_out in (folder / "noise.log", home / "ledger.db", folder / "__pycache__" / "train.pyc"):
        left_out.parent.mkdir(exist_ok=True)
        left_out.write_text("grows")
    assert located(job_in(folder), home).content == before
    (folder / "data" / "numbers.csv").write_text("1,3\n")

    assert located(job_in(folder), home).content != before


def test_a_job_is_submitted_with_its_files_and_its_environment_but_without_the_home(
    folder: Path, tmp_path: Path
) -> None:
    environment = tmp_path / "environment.yaml"
    environment.write_text("env_vars: {COLOUR: red}\nexcludes: ['*.csv']\n")
    home = folder / ".orchestrate"
    job = located(job_in(folder, runtime_env=str(environment)), home)

    assert runtime_env(job, home) == {
        "env_vars": {"COLOUR": "red"},
        "excludes": ["*.csv", "/.orchestrate"],
        "working_dir": str(folder),
    }


def test_files_that_changed_after_the_plan_are_refused(folder: Path, tmp_path: Path) -> None:
    job = located(job_in(folder), tmp_path)
    (folder / "train.py").write_text("print('something else')\n")

    with pytest.raises(InputError, match="changed since the sweep was planned"):
        runtime_env(job, tmp_path)
    with pytest.raises(InputError, match="aren't those that the spec was made with"):
        located(job, tmp_path)


def test_a_command_without_files_has_no_hash(tmp_path: Path) -> None:
    job = located(Job(entrypoint="python -m package.train"), tmp_path)

    assert (job.content, runtime_env(job, tmp_path)) == ("", {})


def test_a_script_or_a_folder_that_does_not_exist_is_named(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"there is no missing\.py in"):
        located(job_in(folder).replace(entrypoint="python missing.py"), tmp_path)
    with pytest.raises(InputError, match="there is no folder"):
        located(job_in(folder / "nowhere"), tmp_path)
    with pytest.raises(InputError, match="no such file"):
        located(job_in(folder, runtime_env=str(folder / "nowhere.yaml")), tmp_path)


def test_a_script_needs_a_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError) as told:
        located(JOB, tmp_path)

    assert told.value.hint == "add --working-dir ."


def test_a_folder_elsewhere_is_refused_since_it_may_change(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="isn't on this machine"):
        located(JOB.replace(working_dir="s3://bucket/train.zip"), tmp_path)


def test_a_folder_that_is_too_large_for_ray_is_refused(folder: Path) -> None:
    with (folder / "huge.bin").open("wb") as huge:
        huge.truncate(3 * 2**30)

    with pytest.raises(NoPackage, match="MiB that Ray uploads"):
        content_of(folder, [], {})
