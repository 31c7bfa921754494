"""Each promise of docs/security.md is held by tests that exist."""

import ast
import re

import pytest

from tests.support.documents import ROOT

PROMISES = dict(
    re.findall(r"^\| (.+) \| ((?:`tests/[^`]+::[^`]+` ?)+) \|$", (ROOT / "docs/security.md").read_text(), re.MULTILINE)
)


def test_there_are_promises() -> None:
    section = (ROOT / "docs/security.md").read_text().partition("## Promises")[2].partition("\n## ")[0]

    assert len(PROMISES) == sum(line.startswith("|") for line in section.splitlines()) - 2 > 0


@pytest.mark.parametrize("promise", PROMISES)
def test_the_tests_of_a_promise_exist(promise: str) -> None:
    missing = []
    for file, name in re.findall(r"`([^`]+)::([^`]+)`", PROMISES[promise]):
        path = ROOT / file
        tree = ast.parse(path.read_text()) if path.exists() else ast.Module([], [])
        if not any(isinstance(each, ast.FunctionDef) and each.name == name for each in tree.body):
            missing.append(f"{file}::{name}")

    assert missing == []
