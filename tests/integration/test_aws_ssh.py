"""SSH to a head, with a program in the place of ssh that runs the remote command here."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from orchestrator.backends.aws.remote import Login, Remote
from orchestrator.errors import ClusterFailed
from tests.support.orchestrate_command import ROOT

# The remote command is a process of its own, as on a real machine: it outlives a killed ssh until its input ends.
SSH = '#!/bin/bash\necho $$ >> "$(dirname "$0")/pids"\ncat | setsid bash -c "${@: -1}"\n'


def with_ssh(folder: Path) -> dict[str, str]:
    """This environment with the program in the place of ssh."""
    program = folder / "bin" / "ssh"
    program.parent.mkdir()
    program.write_text(SSH)
    program.chmod(0o755)
    return {**os.environ, "PATH": f"{program.parent}:{os.environ['PATH']}"}


def pids(folder: Path) -> list[int]:
    file = folder / "bin/pids"
    return [int(pid) for pid in file.read_text().split()] if file.exists() else []


@pytest.fixture
def remote(tmp_path: Path) -> Iterator[Remote]:
    environment = with_ssh(tmp_path)
    started = Remote(Login("me", "10.0.0.5", tmp_path / "key", tmp_path / "known_hosts", environment))
    yield started
    started.close()


def wait_for(seen: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not seen():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_command_gets_its_input_and_returns_its_output(remote: Remote) -> None:
    assert remote.run("cat; echo there", b"here ") == "here there\n"


def test_a_failing_command_says_why(remote: Remote) -> None:
    with pytest.raises(ClusterFailed, match="no such thing"):
        remote.run("echo no such thing >&2; exit 3")


def test_a_machine_that_is_silent_is_given_up(remote: Remote) -> None:
    with pytest.raises(ClusterFailed, match="no answer within"):
        remote.run("sleep 60", timeout_s=0.2)


def test_a_file_is_followed_and_resumed_at_its_byte(remote: Remote, tmp_path: Path) -> None:
    there, here = tmp_path / "there.log", tmp_path / "here.log"
    there.write_text("one\n")
    remote.follow(str(there), here)
    wait_for(lambda: here.read_text() == "one\n")
    (pid,) = pids(tmp_path)
    with there.open("a") as file:
        os.kill(pid, 9)
        file.write("two\n")

    wait_for(lambda: here.read_text() == "one\ntwo\n")


def test_everything_ends_with_the_connection(remote: Remote, tmp_path: Path) -> None:
    remote.follow(str(tmp_path / "there.log"), tmp_path / "here.log")
    wait_for(lambda: bool(pids(tmp_path)))
    remote.close()

    with pytest.raises(ClusterFailed):
        remote.run("true")


def test_a_stream_ends_with_its_process_even_after_kill_9(tmp_path: Path) -> None:
    program = (
        "import sys, time, pathlib\n"
        "from orchestrator.backends.aws.remote import Login, Remote\n"
        "from tests.integration.test_aws_ssh import with_ssh\n"
        "folder = pathlib.Path(sys.argv[1])\n"
        "remote = Remote(Login('me', 'there', folder / 'key', folder / 'known', with_ssh(folder)))\n"
        "remote.follow(str(folder / 'there.log'), folder / 'here.log')\n"
        "time.sleep(600)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", program, str(tmp_path)], cwd=ROOT)
    wait_for(lambda: bool(pids(tmp_path)))
    (pid,) = pids(tmp_path)
    process.kill()
    process.wait()

    wait_for(lambda: not Path(f"/proc/{pid}").exists())
