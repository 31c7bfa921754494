"""What the README shows of the simulator is what its command prints: a simulated sweep is the same everywhere."""

import shlex
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.orchestrate_command import Orchestrate

pytestmark = pytest.mark.quick

README = Path(__file__).parents[2] / "README.md"
PROMPT = "$ orchestrate simulate "


def test_the_simulated_table_of_the_readme_is_what_its_command_prints(orchestrate: Orchestrate) -> None:
    block = next(part for part in README.read_text().split("```") if part.strip().startswith(PROMPT))
    command, *table = block.strip().splitlines()
    narrow = replace(orchestrate, environment={"COLUMNS": "80"})
    printed = narrow("simulate", *shlex.split(command.removeprefix(PROMPT))).stdout

    assert [line for line in table if line not in {each.rstrip() for each in printed.splitlines()}] == []
