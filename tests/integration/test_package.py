"""The wheel and the source distribution hold what is needed to run, and nothing else."""

import os
import shutil
import subprocess
import tarfile
import zipfile
from pathlib import Path

import pytest

from tests.support.orchestrate_command import ROOT
from tests.support.requirements import require

BUNDLE = ("cluster", "docker-compose.yml", "grafana", "profiles", "prometheus")
SOURCES = {
    *BUNDLE,
    "CHANGELOG.md",
    "CITATION.cff",
    "LICENSE",
    "PKG-INFO",
    "README.md",
    "SECURITY.md",
    "orchestrator",
    "pyproject.toml",
    ".gitignore",
}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with both distributions; the wheel is built from the source distribution."""
    folder = tmp_path_factory.mktemp("built")
    uv = shutil.which("uv", path=os.pathsep.join([str(ROOT / ".tools/bin"), os.environ["PATH"]]))
    require("uv", uv is not None, "run make setup")
    done = subprocess.run([str(uv), "build", "--out-dir", str(folder), str(ROOT)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder


def test_the_source_distribution_has_the_sources_only(built: Path) -> None:
    (found,) = built.glob("*.tar.gz")
    with tarfile.open(found) as archive:
        names = {Path(name).parts[1] for name in archive.getnames() if len(Path(name).parts) > 1}

    assert names == SOURCES


def test_the_wheel_has_the_package_and_each_file_that_it_reads(built: Path) -> None:
    tracked = subprocess.run(
        ["git", "ls-files", "orchestrator", *BUNDLE], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    expected = {name if name.startswith("orchestrator/") else f"orchestrator/bundle/{name}" for name in tracked}
    (found,) = built.glob("*.whl")
    with zipfile.ZipFile(found) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}

    assert names == expected
