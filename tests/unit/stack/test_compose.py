"""What `docker` says when something is missing becomes one clear line that names it."""

import json
from pathlib import Path

import psutil
import pytest

from orchestrator.errors import MissingPrerequisite
from orchestrator.stack.compose import Result, check_engine, run_docker
from tests.support.fake_docker_cli import FakeDocker

PERMISSION = "permission denied while trying to connect to the Docker daemon socket at unix:///var/run/docker.sock"
NO_DAEMON = "Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?"


@pytest.mark.parametrize(
    ("answers", "message", "hint"),
    [
        (
            {"compose version": Result(1, "", "docker: 'compose' is not a docker command.")},
            "no compose plugin",
            "install",
        ),
        ({"compose version": Result(0, "1.29.2\n", "")}, "docker compose 1.29.2 is too old", "install the plugin"),
        ({"info": Result(1, "", NO_DAEMON)}, "the Docker engine doesn't run: Cannot connect", "systemctl start docker"),
        ({"info": Result(0, json.dumps({"ServerErrors": [NO_DAEMON]}), "")}, "engine doesn't run", "systemctl start"),
        ({"info": Result(1, "", PERMISSION)}, "this user may not use the Docker engine", "usermod -aG docker"),
        (
            {"info": Result(1, "", "write /var/lib: no space left on device")},
            "the engine's disk is full",
            "docker system",
        ),
        ({"info": Result(1, "", "tls: bad certificate")}, "can't be used: tls: bad certificate", "docker info"),
        ({"info": Result(1, "", "")}, "can't be used: exit code 1", "docker info"),
        ({"info": Result(0, json.dumps({"SecurityOptions": ["name=rootless"]}), "")}, "rootless", "DOCKER_HOST="),
    ],
)
def test_what_is_missing_is_named_with_the_way_to_get_it(answers: dict[str, Result], message: str, hint: str) -> None:
    with pytest.raises(MissingPrerequisite) as raised:
        check_engine(FakeDocker(answers))

    assert raised.value.exit_code == 3
    assert message in raised.value.message
    assert hint in (raised.value.hint or "")


def test_an_engine_that_is_all_right_passes() -> None:
    check_engine(FakeDocker())


def test_no_docker_command_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(MissingPrerequisite, match="no docker command on PATH"):
        run_docker("version")


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A `docker` that is first on PATH."""
    path = tmp_path / "docker"
    path.touch(mode=0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    return path


def test_both_streams_and_the_exit_code_come_back(script: Path) -> None:
    script.write_text('#!/bin/sh\nread line; echo "$1 $line"; echo "one\n\ntwo\n" >&2; exit 5\n')
    result = run_docker("exec", stdin="secret")

    assert (result.code, result.out, result.last_line) == (5, "exec secret\n", "two")


def test_lines_are_followed_as_they_come(script: Path) -> None:
    script.write_text("#!/bin/sh\necho pulling; echo pulled >&2\n")
    lines: list[str] = []
    result = run_docker("compose", follow=lines.append)

    assert lines == ["pulling", "pulled"]
    assert result.err == "pulling\npulled\n"


def test_a_variable_of_ours_in_the_environment_does_not_win_over_the_env_file(
    script: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ORCHESTRATE_STACK_GRAFANA_PORT", "1")
    monkeypatch.setenv("DOCKER_CONTEXT", "mine")
    script.write_text('#!/bin/sh\necho "${ORCHESTRATE_STACK_GRAFANA_PORT:-unset} $DOCKER_CONTEXT"\n')

    assert run_docker("version").out == "unset mine\n"


def test_a_command_that_is_interrupted_is_ended(script: Path) -> None:
    script.write_text("#!/bin/sh\necho begun; exec sleep 600\n")

    def interrupt(_line: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_docker("compose", "up", follow=interrupt)


def test_an_engine_that_does_not_answer_is_not_waited_for(script: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orchestrator.stack.compose.ANSWERS_WITHIN_S", 0.1)
    monkeypatch.setenv("DOCKER_HOST", "tcp://192.0.2.1:2375")
    script.write_text("#!/bin/sh\necho $$ > pid\nexec sleep 600\n")
    monkeypatch.chdir(script.parent)

    with pytest.raises(MissingPrerequisite) as raised:
        run_docker("info", "--format", "{{json .}}")

    assert raised.value.message == "the Docker daemon doesn't answer: no end of `docker info --format` within 0.1 s"
    assert raised.value.hint == "is DOCKER_HOST=tcp://192.0.2.1:2375 right, and up?"
    assert not psutil.pid_exists(int(Path("pid").read_text()))
