"""Leases of machines: the script, run as it is, with a `shutdown` that only tells."""

import os
import subprocess
import time
from pathlib import Path

from orchestrator.backends.aws.lease import Lease, script


def run(folder: Path, *arguments: str) -> "subprocess.Popen[bytes]":
    """The script, with a `shutdown` that makes a file in the folder."""
    (folder / "lease.sh").write_text(script())
    (folder / "shutdown").write_text(f"#!/bin/bash\ntouch {folder}/ended\nkill $PPID\n")
    (folder / "shutdown").chmod(0o755)
    environment = {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}"}
    return subprocess.Popen(["bash", str(folder / "lease.sh"), *arguments], env=environment)


def test_a_machine_ends_once_nobody_renews(tmp_path: Path) -> None:
    process = run(tmp_path, "head", str(tmp_path / "renewed"), "1", "0.1")

    process.wait(20)
    assert (tmp_path / "ended").exists()


def test_a_worker_ends_once_its_head_is_silent(tmp_path: Path) -> None:
    process = run(tmp_path, "worker", "127.0.0.1", "1", "0.1")

    process.wait(20)
    assert (tmp_path / "ended").exists()


def test_a_renewed_lease_goes_on(tmp_path: Path) -> None:
    process = run(tmp_path, "head", str(tmp_path / "renewed"), "3", "0.1")
    deadline = time.monotonic() + 6
    while time.monotonic() < deadline:
        (tmp_path / "renewed").touch()
        time.sleep(0.2)

    assert process.poll() is None
    process.kill()
    process.wait()


def test_an_orchestrator_may_miss_several_renewals() -> None:
    assert Lease(10).renewed_every_s * 5 < Lease(10).seconds


def test_a_lease_begins_with_or_without_systemd(tmp_path: Path) -> None:
    command = Lease(10).begin("worker", "$RAY_HEAD_IP", "$HOME/kit")

    assert "systemd-run" in command
    assert "setsid" in command
    assert subprocess.run(["bash", "-n", "-c", command], check=False).returncode == 0
