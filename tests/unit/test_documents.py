"""Documents lead somewhere: each link to a file, and each path that they name, exists."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
LINK = re.compile(r"\]\((?!https?:|#|mailto:)([^)\s#]+)[^)]*\)")
NAMED = re.compile(r"`((?:orchestrator|tests|docs|cluster|profiles|prometheus|grafana)/[\w./-]+)`")
GENERATED = ("orchestrator/bundle",)
# The changelog and decisions name paths of their time.
CURRENT = [path for path in DOCUMENTS if path.name != "CHANGELOG.md" and "decisions" not in path.parts]


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_each_link_to_a_file_leads_to_one(path: Path) -> None:
    broken = [link for link in LINK.findall(path.read_text()) if not (path.parent / link).exists()]

    assert broken == []


@pytest.mark.parametrize("path", CURRENT, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_each_path_that_a_document_names_exists(path: Path) -> None:
    named = [name for name in NAMED.findall(path.read_text()) if not name.startswith(GENERATED)]

    assert [name for name in named if not (ROOT / name).exists()] == []
