"""Each example shows what its commands print: a simulated sweep is the same everywhere."""

import re
import shlex
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.orchestrate_command import ROOT, Orchestrate

FOLDER = ROOT / "docs/examples"
SPECS = sorted(FOLDER.glob("*.yaml"))
ON_A_REAL_CLUSTER = FOLDER / "speeds.yaml"
QUOTED = re.compile(r"^#     (.*)$", re.MULTILINE)
PROMPT = "$ orchestrate "


@pytest.mark.parametrize("spec", [path for path in SPECS if path != ON_A_REAL_CLUSTER], ids=lambda path: path.stem)
def test_an_example_gives_the_numbers_that_its_comment_promises(spec: Path, orchestrate: Orchestrate) -> None:
    quoted = QUOTED.findall(spec.read_text())
    commands = [line.removeprefix(PROMPT) for line in quoted if line.startswith(PROMPT)]
    promised = [line for line in quoted if not line.startswith(PROMPT)]
    narrow = replace(orchestrate, environment={"COLUMNS": "80"})
    done = [narrow(*shlex.split(command)) for command in commands]

    assert [(each.returncode, each.stderr) for each in done if each.returncode != 0] == []
    printed = {line.rstrip() for each in done for line in each.stdout.splitlines()}
    assert commands[0] == f"simulate --spec {spec.relative_to(ROOT)}"
    assert promised
    assert [line for line in promised if line not in printed] == []


def test_the_example_for_a_real_cluster_can_be_simulated_too(orchestrate: Orchestrate) -> None:
    done = orchestrate("simulate", "--spec", str(ON_A_REAL_CLUSTER))

    assert done.returncode == 0, done.stderr


def test_the_index_lists_each_example() -> None:
    listed = re.findall(r"\]\(([\w.-]+)\)", (FOLDER / "README.md").read_text())
    files = [path.name for path in FOLDER.iterdir() if path.suffix in (".yaml", ".py")]

    assert sorted(listed) == sorted(files)
