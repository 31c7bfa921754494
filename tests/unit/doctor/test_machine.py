"""What the machine's own checks say of homes, disks and tokens."""

from collections import namedtuple
from pathlib import Path

import pytest

from orchestrator.backends.live.ownership import TOKEN_NAME, ensure_token
from orchestrator.doctor import machine
from orchestrator.doctor.machine import cores_and_memory, disk, home_folder, ray, shared_memory, token
from orchestrator.sweeps.fit import Machine

Usage = namedtuple("Usage", "total used free")
GB = 10**9


def test_a_home_is_there_or_can_be_made(tmp_path: Path) -> None:
    assert home_folder(tmp_path).detail == str(tmp_path)

    found = home_folder(tmp_path / "a" / "b")

    assert (found.state, found.detail) == ("ok", f"{tmp_path}/a/b will be made at first use")
    assert not (tmp_path / "a").exists()


def test_a_home_below_a_file_can_not_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    found = home_folder(tmp_path / "file" / "home")

    assert found.state == "missing"
    assert "--home" in found.hint


def test_a_token_that_others_can_read_is_a_warning(tmp_path: Path) -> None:
    assert token(tmp_path).state == "ok"

    path = ensure_token(tmp_path)

    assert path.name == TOKEN_NAME
    assert token(tmp_path).state == "ok"

    path.chmod(0o640)
    found = token(tmp_path)

    assert (found.state, found.hint) == ("warning", f"chmod 600 {path}")
    assert "0640" in found.detail
    assert path.read_text() not in found.detail


@pytest.mark.parametrize(
    ("usage", "state"),
    [
        (Usage(100 * GB, 50 * GB, 50 * GB), "ok"),
        (Usage(100 * GB, 96 * GB, 4 * GB), "warning"),
        (Usage(10 * GB, 9 * GB, 1 * GB), "warning"),
        (Usage(10 * GB, 10 * GB, 50_000_000), "missing"),
    ],
)
def test_a_full_disk_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, usage: Usage, state: str) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda path: usage)
    found = disk(tmp_path / "home")

    assert found.state == state
    assert bool(found.hint) is (state != "ok")


@pytest.mark.parametrize(("free", "state"), [(64 * 2**20, "warning"), (4 * GB, "ok")])
def test_a_containers_small_shm_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, free: int, state: str) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda path: Usage(free, 0, free))
    monkeypatch.setattr(machine, "this_machine", lambda: Machine(cores=8, memory=32 * GB))
    found = shared_memory(tmp_path)

    assert found.state == state
    assert ("--shm-size" in found.hint) is (state == "warning")


def test_the_fit_of_the_built_in_cluster_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "this_machine", lambda: Machine(cores=2, memory=16 * GB))
    found = cores_and_memory()

    assert found.state == "ok"
    assert found.detail.startswith("2 cores, 15 GiB free; --fit machine: x86_worker_node 1-3 x 1 CPU")

    monkeypatch.setattr(machine, "this_machine", lambda: Machine(cores=2, memory=GB // 4))

    assert cores_and_memory().state == "warning"


@pytest.mark.parametrize(("version", "state"), [("2.60.0", "ok"), ("2.61.0", "warning"), ("2.49.1", "warning")])
def test_a_ray_outside_the_supported_window_is_told(monkeypatch: pytest.MonkeyPatch, version: str, state: str) -> None:
    monkeypatch.setattr("orchestrator.rayapi.version.version", lambda name: version)
    found = ray()

    assert found.state == state
    assert version in found.detail
