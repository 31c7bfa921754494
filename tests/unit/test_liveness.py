"""Marks and locks: a process is told apart from others without the clock and without the name of its host."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from orchestrator import liveness
from orchestrator.liveness import Lock, ProcessMark, is_held, still_runs

HERE = ProcessMark.this_process()
NO_PID = 2**22 + 1
HOLDER = """
import sys
from pathlib import Path
from orchestrator.liveness import Lock
lock = Lock.take(Path(sys.argv[1]))
print("held" if lock else "taken", flush=True)
sys.stdin.read()
"""


def test_the_calling_process_runs() -> None:
    assert HERE.alive
    assert ProcessMark.read(HERE.as_record()) == HERE


def test_a_step_of_the_clock_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    started = psutil.Process().create_time()
    monkeypatch.setattr(psutil.Process, "create_time", lambda self: started + 3600)

    assert HERE.alive


@pytest.mark.parametrize(
    "mark",
    [
        replace(HERE, pid=NO_PID),
        replace(HERE, ticks=HERE.ticks + 1),  # a later process with this pid
        replace(HERE, boot="of another machine, or before it was booted"),
        replace(HERE, boot="", ticks=0, started=HERE.started - 60),  # of an earlier version
        replace(HERE, pid=-1),
    ],
)
def test_another_process_is_not_taken_for_it(mark: ProcessMark) -> None:
    assert not mark.alive


def test_a_mark_of_an_earlier_version_is_understood() -> None:
    mark = ProcessMark.read({"host": HERE.host, "pid": HERE.pid, "started": HERE.started})

    assert mark is not None
    assert mark.alive


@pytest.mark.parametrize("record", [{}, [], None, 5, {"pid": "x", "started": 1}, {"pid": float("inf"), "started": 1}])
def test_what_is_no_mark_marks_nothing(record: object) -> None:
    assert ProcessMark.read(record) is None


def test_another_name_of_the_host_changes_nothing(tmp_path: Path) -> None:
    """Containers on one machine share its boot, and each has a name of its own."""
    renamed = replace(HERE, host="old-container")

    assert still_runs(renamed.as_record(), tmp_path / "none") is True
    assert still_runs(replace(renamed, pid=NO_PID).as_record(), tmp_path / "none") is False


def test_nobody_can_know_of_another_machine_without_a_lock(tmp_path: Path) -> None:
    elsewhere = replace(HERE, host="elsewhere", boot="other")

    assert still_runs(elsewhere.as_record(), tmp_path / "none") is None

    (tmp_path / "lock").touch()

    assert still_runs(elsewhere.as_record(), tmp_path / "lock") is False


def test_a_machine_that_was_booted_again_runs_nothing_of_before(tmp_path: Path) -> None:
    assert still_runs(replace(HERE, boot="before").as_record(), tmp_path / "none") is False


def test_a_lock_is_held_until_it_is_released(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    lock = Lock.take(path)
    assert lock is not None

    assert is_held(path) is True
    assert still_runs({}, path) is True

    lock.release()
    lock.release()

    assert is_held(path) is False
    assert is_held(tmp_path / "none") is None


def test_a_killed_process_releases_its_lock(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        assert is_held(path) is True
        assert Lock.take(path) is None
        holder.kill()
        holder.wait()

    assert is_held(path) is False


def test_a_child_does_not_keep_the_lock(tmp_path: Path) -> None:
    lock = Lock.take(tmp_path / "lock")
    assert lock is not None
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        lock.release()

        assert is_held(tmp_path / "lock") is False

        child.kill()


def test_a_planted_link_is_no_lock(tmp_path: Path) -> None:
    (tmp_path / "target").write_text("precious")
    (tmp_path / "lock").symlink_to(tmp_path / "target")

    assert is_held(tmp_path / "lock") is None
    with pytest.raises(OSError, match="symbolic links"):
        Lock.take(tmp_path / "lock")


def test_the_boot_is_the_same_for_every_process() -> None:
    assert liveness.boot_id() == HERE.boot
    assert os.getpid() == HERE.pid
