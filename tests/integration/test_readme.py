"""The README shows what its commands print: a simulated sweep is the same everywhere."""

import re
import subprocess
from pathlib import Path

import pytest

from tests.support.documents import blocks
from tests.support.orchestrate_command import ROOT, clean_environment

pytestmark = pytest.mark.quick

PICTURE = "docs/pictures/terminal.svg"
SWEEP_ID = re.compile(r"sweep&#160;[0-9a-f]{8}")


def test_the_picture_of_the_terminal_is_what_its_commands_draw(tmp_path: Path) -> None:
    (script,) = blocks("pictures/README.md", "The terminal")
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs/pictures").mkdir()
    (tmp_path / "docs/pictures/terminal.py").symlink_to(ROOT / "docs/pictures/terminal.py")
    command = ["bash", "-euo", "pipefail", "-c", script]
    subprocess.run(command, cwd=tmp_path, env=clean_environment(), capture_output=True, check=True)

    drawn, shown = ((folder / PICTURE).read_text() for folder in (tmp_path, ROOT))
    assert SWEEP_ID.sub("sweep", drawn) == SWEEP_ID.sub("sweep", shown)
    assert f"({PICTURE})" in (ROOT / "README.md").read_text()


def test_make_simulate_runs_the_command_of_the_picture() -> None:
    (script,) = blocks("pictures/README.md", "The terminal")
    (command,) = re.findall(r"^COMMAND='(.*)'$", script, re.MULTILINE)
    dry_run = subprocess.run(["make", "--dry-run", "simulate"], cwd=ROOT, capture_output=True, text=True, check=True)

    assert f".venv/bin/{command}" in dry_run.stdout


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) < 120
