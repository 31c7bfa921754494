"""What containers see of this machine's files."""

from pathlib import Path

import pytest

from orchestrator.backends.docker.image import RayImage
from orchestrator.backends.docker.mounts import head_mounts, node_mounts
from orchestrator.backends.live.cluster_dir import ClusterFiles


@pytest.fixture
def files(tmp_path: Path) -> ClusterFiles:
    files = ClusterFiles(tmp_path / "cluster")
    files.create()
    return files


def test_a_job_in_the_head_can_write_into_the_files_of_its_outbox_and_nowhere_else(files: ClusterFiles) -> None:
    mounts = {Path(mount["Source"]): mount["ReadOnly"] for mount in head_mounts(files)}
    writable = {source for source, read_only in mounts.items() if not read_only}

    assert mounts.keys() - writable == {files.inbox}
    assert writable == {files.requests, files.settings, files.monitor_log}
    assert all(path.is_file() for path in writable), "in a folder it could leave links and pipes"


def test_the_provider_finds_its_files_where_the_folder_has_them(files: ClusterFiles) -> None:
    seen = ClusterFiles(Path("/orchestrate"))

    assert {mount["Target"] for mount in head_mounts(files)} == {
        str(path) for path in (seen.inbox, seen.requests, seen.settings, seen.monitor_log)
    }


@pytest.mark.parametrize("has_package", [True, False])
def test_all_that_a_node_sees_is_read_only(files: ClusterFiles, has_package: bool) -> None:
    image = RayImage("ray", "sha256:1", "/bin/python", "3.11.7", "2.60.0", "x86_64", has_package)
    mounts = node_mounts(image, files.root / "token", files.node_options("n1"))

    assert len(mounts) == (2 if has_package else 3)
    assert all(mount["ReadOnly"] for mount in mounts)
