"""The tutorial shows what its commands print, in both languages."""

import re
import shlex
from pathlib import Path

import pytest

from tests.support.documents import ROOT
from tests.support.orchestrate_command import Orchestrate

pytestmark = pytest.mark.quick

LEFT_OUT = "…"
CONSOLE = re.compile(r"^```console\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def consoles(page: str) -> list[str]:
    return CONSOLE.findall((ROOT / "docs" / page).read_text())


def calls(console: str) -> list[tuple[list[str], list[str]]]:
    """Each command of a block, and the lines that it shows."""
    found: list[tuple[list[str], list[str]]] = []
    for line in console.splitlines():
        if line.startswith("$ orchestrate "):
            found.append((shlex.split(line)[2:], []))
        else:
            found[-1][1].append(line)
    return found


def test_each_command_prints_what_the_tutorial_shows(tmp_path: Path) -> None:
    command = Orchestrate(tmp_path / "home", {"COLUMNS": "110"})
    for arguments, shown in [call for console in consoles("tutorial.md") for call in calls(console)]:
        done = command(*arguments)
        assert done.returncode == 0, done.stderr
        printed = [line.rstrip() for line in done.stdout.splitlines()]
        assert [line for line in shown if line != LEFT_OUT and line not in printed] == [], done.stdout


def test_both_languages_show_the_same() -> None:
    assert consoles("tutorial.md") == consoles("tutorial.ko.md")
