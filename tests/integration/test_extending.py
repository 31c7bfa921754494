"""The blocks of docs/extending.md, applied to a copy of the project, do what the page says."""

import ast
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.orchestrate_command import BIN, ROOT, clean_environment

pytestmark = pytest.mark.quick

PAGE = (ROOT / "docs" / "extending.md").read_text()
CODE = re.compile(r"```python\n# (?P<file>[\w./]+): (?P<place>[^\n]+)\n(?P<text>.*?)```", re.DOTALL)
CONSOLE = re.compile(r"```console\n(.*?)```", re.DOTALL)
ENTRY_POINT = re.compile(r'^(\w+) = "(\w+:\w+)"$', re.MULTILINE)
PARTS = ("orchestrator", "cluster", "grafana", "prometheus", "profiles", "docker-compose.yml")


def section(title: str) -> str:
    """Return the text below a heading of the page."""
    return next(part for part in PAGE.split("\n## ") if part.startswith(title + "\n"))


def copied(folder: Path) -> Path:
    """Copy what the command needs of the project."""
    folder.mkdir()
    for name in PARTS:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, folder / name)
    return folder


def apply(project: Path, file: str, place: str, text: str) -> None:
    """Put a block where its first line says."""
    path = project / file
    if place == "new":
        path.write_text(text)
        return
    source = path.read_text()
    lines = source.splitlines(keepends=True)
    at = line_of(ast.parse(source), place, len(lines))
    path.write_text("".join((*lines[:at], text if place != "append" else f"\n\n{text}", *lines[at:])))


def line_of(tree: ast.Module, place: str, end: int) -> int:
    """Return the number of lines before the place."""
    name = place.rpartition(" ")[2]
    for node in ast.walk(tree):
        if place.startswith("append to ") and isinstance(node, ast.AnnAssign) and ast.unparse(node.target) == name:
            assert node.value is not None
            assert node.value.end_lineno is not None
            return node.value.end_lineno - 1
        if place.startswith("in class ") and isinstance(node, ast.ClassDef) and node.name == name:
            fields = [each for each in node.body if isinstance(each, ast.AnnAssign)]
            assert fields[-1].end_lineno is not None
            return fields[-1].end_lineno
        if place.startswith("first in the list of ") and isinstance(node, ast.FunctionDef) and node.name == name:
            return next(each.lineno for each in ast.walk(node) if isinstance(each, ast.List))
    assert place == "append", place
    # Before `if __name__ == "__main__"`, so that it runs with the addition.
    mains = [each.lineno - 1 for each in tree.body if isinstance(each, ast.If)]
    return mains[0] if mains else end


def run(project: Path, command: str) -> str:
    """Run one command of the page on the copy; return its output."""
    words = shlex.split(command)
    program = {"orchestrate": [sys.executable, "-m", "orchestrator"], "python": [sys.executable]}.get(words[0])
    environment = clean_environment(
        PYTHONPATH=str(project), COLUMNS="200", PATH=f"{BIN}{os.pathsep}{os.environ['PATH']}"
    )
    done = subprocess.run(
        [*(program or [words[0]]), *words[1:]],
        cwd=project,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode in ((0, 3) if words[:2] == ["orchestrate", "doctor"] else (0,)), f"{command}: {done.stderr}"
    return done.stdout + done.stderr


@pytest.mark.parametrize(
    "title", ["A backend", "A setting", "A quantity", "A metric and its panel", "An arrival pattern"]
)
def test_a_section_of_the_page_is_true(title: str, tmp_path: Path) -> None:
    project, text = copied(tmp_path / "project"), section(title)
    blocks, consoles = list(CODE.finditer(text)), CONSOLE.findall(text)
    assert blocks
    assert consoles
    for block in blocks:
        apply(project, block["file"], block["place"], block["text"])
    for name, value in ENTRY_POINT.findall(text):
        metadata = project / f"{name}-1.0.dist-info"
        metadata.mkdir()
        (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (metadata / "entry_points.txt").write_text(f"[orchestrate.backends]\n{name} = {value}\n")

    for console in consoles:
        printed = ""
        for line in console.splitlines():
            if line.startswith("$ "):
                printed = run(project, line.removeprefix("$ "))
            else:
                assert line in printed, printed
