"""Which processes belong to a cluster, whether its owner lives, and that no other process is ever touched."""

import contextlib
import dataclasses
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import psutil
import pytest

from orchestrator.backends.live.ownership import Owner
from orchestrator.backends.local.processes import (
    HOME_MARKER,
    MARKER,
    end_marked,
    find_marked,
    marker_environment,
)

Spawn = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture
def spawn() -> Iterator[Spawn]:
    """Starts `sleep`, or another command, with a marker; whatever is left of it ends with the test."""
    started: list[subprocess.Popen[bytes]] = []

    def start(
        marker: Mapping[str, str], *command: str, new_session: bool = True, cwd: Path | None = None
    ) -> "subprocess.Popen[bytes]":
        process = subprocess.Popen(
            command or ("sleep", "60"),
            env={**os.environ, **marker},
            stdout=subprocess.PIPE,
            start_new_session=new_session,
            cwd=cwd,
        )
        started.append(process)
        with contextlib.suppress(psutil.NoSuchProcess):  # it ended already
            while not psutil.Process(process.pid).environ():
                pass  # still in the midst of `exec`
        return process

    yield start
    for process in started:
        family = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
        for member in family:
            member.kill()
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


def _pids(processes: list[psutil.Process]) -> list[int]:
    return [process.pid for process in processes]


def _first_pid(process: "subprocess.Popen[bytes]") -> int:
    """The process id that a command prints as its first line."""
    assert process.stdout is not None
    return int(process.stdout.readline())


# The owner


def test_this_process_owns_what_it_starts_and_is_alive() -> None:
    owner = Owner.this_process("c0ffee00", "127.0.0.1:1", "http://127.0.0.1:2", "/tmp/x")

    assert os.getpid() == owner.pid
    assert owner.alive


def test_an_owner_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    owner = Owner.this_process("c0ffee00", "127.0.0.1:1", "http://127.0.0.1:2", "/tmp/x")
    path = tmp_path / "owner.json"
    path.write_text(json.dumps(dataclasses.asdict(owner)))

    assert owner == Owner.read(path)


def test_a_later_process_with_the_owners_pid_is_not_the_owner() -> None:
    this = psutil.Process()

    assert not Owner(this.pid, this.create_time() - 60, "c0ffee00").alive


def test_an_owner_that_has_ended_is_not_alive(spawn: Spawn) -> None:
    process = spawn({})
    owner = Owner(process.pid, psutil.Process(process.pid).create_time(), "c0ffee00")
    alive_before = owner.alive
    process.kill()
    process.wait()

    assert alive_before
    assert not owner.alive


def test_an_owner_that_nobody_has_reaped_yet_is_not_alive(spawn: Spawn) -> None:
    """A zombie has ended, though its pid is still taken."""
    process = spawn({}, "true")
    owner = Owner(process.pid, psutil.Process(process.pid).create_time(), "c0ffee00")
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)

    assert not owner.alive


def test_there_is_no_owner_where_there_is_no_file(tmp_path: Path) -> None:
    assert Owner.read(tmp_path / "owner.json") is None


def test_there_is_no_owner_where_the_file_is_a_folder(tmp_path: Path) -> None:
    assert Owner.read(tmp_path) is None


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"\xff\xfe\x00",
        b"null",
        b"[]",
        b"[1, 2]",
        b'"owner"',
        b"5",
        b"{}",
        b'{"pid": 1}',
        b'{"pid": 1, "started": 1.0}',
        b'{"pid": 1, "started": 1.0, "cluster_id": "../c"}',
        b'{"pid": 1, "started": 1.0, "cluster_id": "c", "scratch": 5}',
        b'{"pid": 1e999, "started": 1.0, "cluster_id": "c"}',
        b"[" * 99_999,
    ],
)
def test_a_damaged_file_names_no_owner(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "owner.json"
    path.write_bytes(content)

    assert Owner.read(path) is None


def test_an_owner_of_a_newer_version_is_read(tmp_path: Path) -> None:
    path = tmp_path / "owner.json"
    path.write_text('{"pid": 1, "started": 1.0, "cluster_id": "c", "colour": "red"}')

    assert Owner.read(path) == Owner(1, 1.0, "c")


@pytest.mark.parametrize(
    "content",
    [
        '{"pid": "x", "started": 1.0, "cluster_id": "c"}',
        '{"pid": 1, "started": "noon", "cluster_id": "c"}',
    ],
)
def test_a_file_with_values_of_wrong_types_names_no_living_owner(tmp_path: Path, content: str) -> None:
    path = tmp_path / "owner.json"
    path.write_text(content)
    owner = Owner.read(path)

    assert owner is None or (owner.pid != os.getpid() and not owner.alive)


def test_an_owner_whose_process_id_can_not_exist_is_not_alive() -> None:
    assert not Owner(-5, 1.0, "c0ffee00").alive
    assert not Owner(2**70, 1.0, "c0ffee00").alive


# Finding


def test_the_marker_names_the_cluster_and_its_home(tmp_path: Path) -> None:
    assert {MARKER: "c1", HOME_MARKER: str(tmp_path)} == marker_environment("c1", tmp_path)


def test_a_marked_process_is_found_by_home_and_by_cluster(spawn: Spawn, tmp_path: Path) -> None:
    process = spawn(marker_environment("c1", tmp_path))

    assert [process.pid] == _pids(find_marked(tmp_path))
    assert [process.pid] == _pids(find_marked(tmp_path, "c1"))


def test_an_unmarked_process_is_never_found(spawn: Spawn, tmp_path: Path) -> None:
    spawn({})

    assert [] == find_marked(tmp_path)


def test_a_process_of_another_home_is_never_found(spawn: Spawn, tmp_path: Path) -> None:
    spawn(marker_environment("c1", tmp_path / "other"))

    assert [] == find_marked(tmp_path)
    assert [] == find_marked(tmp_path, "c1")


def test_a_home_whose_name_begins_alike_is_another(spawn: Spawn, tmp_path: Path) -> None:
    spawn(marker_environment("c1", tmp_path / "home2"))

    assert [] == find_marked(tmp_path / "home")


def test_a_process_of_another_cluster_is_found_by_home_only(spawn: Spawn, tmp_path: Path) -> None:
    process = spawn(marker_environment("c2", tmp_path))

    assert [] == find_marked(tmp_path, "c1")
    assert [process.pid] == _pids(find_marked(tmp_path))


def test_a_cluster_marker_without_a_home_is_nobodys(spawn: Spawn, tmp_path: Path) -> None:
    spawn({MARKER: "c1"})

    assert [] == find_marked(tmp_path, "c1")


def test_a_child_that_lost_its_marker_is_found_by_the_session_of_its_marked_leader(
    spawn: Spawn, tmp_path: Path
) -> None:
    """Some of Ray's processes overwrite their environment with their title."""
    leader = spawn(
        marker_environment("c1", tmp_path), "sh", "-c", f"env -u {MARKER} -u {HOME_MARKER} sleep 60 & echo $!; wait"
    )
    child = _first_pid(leader)

    assert sorted([leader.pid, child]) == _pids(find_marked(tmp_path))


def test_the_callers_own_session_is_never_taken_along(spawn: Spawn, tmp_path: Path) -> None:
    """The caller's session holds the user's shell; in it only the marker itself counts."""
    unmarked = spawn({}, new_session=False)
    marked = spawn(marker_environment("c1", tmp_path), new_session=False)
    found = _pids(find_marked(tmp_path))

    assert [marked.pid] == found
    assert not {unmarked.pid, os.getpid(), os.getppid()} & set(found)


def test_a_session_led_from_outside_the_pid_namespace_is_never_taken_along(
    spawn: Spawn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Session 0 holds whatever a container started with, and on a host the kernel's own processes."""
    unmarked = spawn({})
    marked = spawn(marker_environment("c1", tmp_path))
    real = os.getsid
    monkeypatch.setattr(os, "getsid", lambda pid: 0 if pid in (unmarked.pid, marked.pid) else real(pid))

    assert [marked.pid] == _pids(find_marked(tmp_path))


def test_the_calling_process_is_never_found_even_if_it_is_marked(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from orchestrator.backends.local.processes import find_marked;"
        "print(len(find_marked(Path(sys.argv[1]))))"
    )
    result = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)],
        env={**os.environ, **marker_environment("c1", tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )

    assert "0" == result.stdout.strip()


def test_a_stranger_is_not_found_because_a_marked_process_lives_in_its_session(spawn: Spawn, tmp_path: Path) -> None:
    """For example the shell of another terminal, when something marked was started from it without a new session."""
    marker = " ".join(f"{name}={value}" for name, value in marker_environment("c1", tmp_path).items())
    stranger = spawn({}, "sh", "-c", f"env {marker} sh -c 'echo $$; exec sleep 60' & wait")
    marked = _first_pid(stranger)
    while psutil.Process(marked).name() != "sleep" or not psutil.Process(marked).environ():
        pass  # a process in the midst of `exec` shows no environment

    assert [marked] == _pids(find_marked(tmp_path))


def test_a_process_in_the_midst_of_exec_is_found(spawn: Spawn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the old program and the new one the kernel shows an empty environment."""
    marked = spawn(marker_environment("c1", tmp_path))
    real, asked = psutil.Process.environ, set()

    def first_time_empty(process: psutil.Process) -> dict[str, str]:
        if process.pid == marked.pid and process.pid not in asked:
            asked.add(process.pid)
            return {}
        return dict(real(process))

    monkeypatch.setattr(psutil.Process, "environ", first_time_empty)

    assert [marked.pid] == _pids(find_marked(tmp_path))


def test_equal_relative_homes_of_two_folders_are_different_homes(
    spawn: Spawn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "other").mkdir()
    home = Path(".orchestrate-test-of-relative-homes")
    monkeypatch.chdir(tmp_path / "one")
    spawn(marker_environment("c1", home), cwd=tmp_path / "one")
    monkeypatch.chdir(tmp_path / "other")

    assert [] == find_marked(home)


# Ending


def test_processes_are_ended_and_counted(spawn: Spawn, tmp_path: Path) -> None:
    processes = [spawn(marker_environment("c1", tmp_path)) for _ in range(2)]

    assert 2 == end_marked(tmp_path)
    assert [] == find_marked(tmp_path)
    assert all(not psutil.pid_exists(process.pid) for process in processes)


def test_a_process_that_ignores_sigterm_is_ended_too(spawn: Spawn, tmp_path: Path) -> None:
    process = spawn(marker_environment("c1", tmp_path), "sh", "-c", "trap '' TERM; echo $$; exec sleep 60")
    _first_pid(process)

    assert 1 == end_marked(tmp_path)
    assert not psutil.pid_exists(process.pid)


def test_ending_what_has_ended_already_is_no_error(spawn: Spawn, tmp_path: Path) -> None:
    spawn(marker_environment("c1", tmp_path), "true").wait()

    assert 0 == end_marked(tmp_path)


def test_ending_a_cluster_leaves_the_others_of_its_home_running(spawn: Spawn, tmp_path: Path) -> None:
    spawn(marker_environment("c1", tmp_path))
    other = spawn(marker_environment("c2", tmp_path))

    assert 1 == end_marked(tmp_path, "c1")
    assert [other.pid] == _pids(find_marked(tmp_path))


def test_ending_a_home_ends_all_its_clusters_and_nothing_else(spawn: Spawn, tmp_path: Path) -> None:
    spawn(marker_environment("c1", tmp_path / "home"))
    spawn(marker_environment("c2", tmp_path / "home"))
    neighbour = spawn(marker_environment("c1", tmp_path / "neighbour"))

    assert 2 == end_marked(tmp_path / "home")
    assert [] == find_marked(tmp_path / "home")
    assert neighbour.poll() is None


def test_ending_where_nothing_runs_ends_nothing(tmp_path: Path) -> None:
    assert 0 == end_marked(tmp_path)
