"""The reference documents each command, option, quantity, spec key and trace field, and none that doesn't exist.

`test_registries.py` says the same of metrics.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
import typer
import typer.main
import yaml
from typer.cli import get_docs_for_click
from typer.core import TyperGroup

from orchestrator.cli.app import app
from orchestrator.model import quantities
from orchestrator.model.events import _KINDS, Event
from orchestrator.model.settings import settings
from orchestrator.model.spec import SweepSpec
from orchestrator.model.workload import Workload
from tests.support.documents import ROOT

DOCUMENTS = sorted({*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")} - {ROOT / "CHANGELOG.md"})
COMMAND_LINE = re.compile(
    r"(?:^|`|\$ |/|^[A-Z_]+=\S+ )orchestrate ((?:[^`\n|;&\\]|\\\n|\\\||\|(?=v[12]\b))*)", re.MULTILINE
)
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]+")
OPTION_IN_PROSE = re.compile(r"`(--[a-z][a-z-]+)[^`]*`")
OF_OTHER_PROGRAMS = {"--network"}


def _commands(group: TyperGroup, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name, command in group.commands.items():
        yield (*path, name), command
        if isinstance(command, TyperGroup):
            yield from _commands(command, (*path, name))


def _options(command: Any) -> set[str]:
    return {name for each in command.params for name in (*each.opts, *each.secondary_opts)} | {"--help"}


ROOT_COMMAND = typer.main.get_command(app)
assert isinstance(ROOT_COMMAND, TyperGroup)
COMMANDS = dict(_commands(ROOT_COMMAND))
ALL_OPTIONS = set[str]().union(_options(ROOT_COMMAND), *map(_options, COMMANDS.values()))


def test_the_reference_of_commands_is_generated_from_them() -> None:
    text = get_docs_for_click(obj=ROOT_COMMAND, ctx=typer.Context(ROOT_COMMAND), name="orchestrate", title="Commands")

    assert (ROOT / "docs/commands.md").read_text() == f"{text.strip()}\n", "make docs-tables"


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_each_command_line_of_a_document_has_options_that_its_command_has(path: Path) -> None:
    wrong = []
    for line in COMMAND_LINE.findall(path.read_text()):
        words = tuple(word for word in line.split() if re.fullmatch(r"[a-z]+", word))
        if words and words[:1] not in COMMANDS:
            wrong.append((line, words[0]))
        called = [COMMANDS[words[:end]] for end in (1, 2) if words[:end] in COMMANDS]
        known = _options(ROOT_COMMAND).union(*map(_options, called))
        wrong += [(line, option) for option in OPTION.findall(line) if option not in known]

    assert wrong == []


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_each_option_that_a_document_names_exists(path: Path) -> None:
    named = set(OPTION_IN_PROSE.findall(path.read_text()))

    assert named - ALL_OPTIONS - OF_OTHER_PROGRAMS == set()


def test_the_documented_quantities_are_those_of_the_code() -> None:
    page = (ROOT / "docs/quantities.md").read_text()

    assert page == quantities.documented(page), "make docs-tables"
    assert all(f"| `{each.name}` |" in page for each in quantities.QUANTITIES)


def test_the_documented_spec_has_each_key_and_is_valid() -> None:
    text = (ROOT / "docs/spec.md").read_text()
    (block,) = re.findall(r"^```yaml\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    everything = yaml.safe_load(re.sub(r"^( *)# (\w+: )", r"\1\2", block, flags=re.MULTILINE))

    SweepSpec.model_validate(yaml.safe_load(block))
    assert set(everything) == set(SweepSpec.model_fields)
    assert set(everything["settings"]) == set(settings())
    assert set(everything["workload"]) == set(Workload.model_fields) - {"observed"}  # of observations only


_OF_RECORDS = ("name", "actor", "resources", "labels", "group", "ready", "earlier", "unfinished")
"""What Ray's own records tell of a task in addition."""


def _values(kind: type[Event]) -> set[str]:
    """Return the words that a field of an event can have as its value."""
    return {
        value
        for each in kind.model_fields.values()
        for annotation in (each.annotation, *get_args(each.annotation))
        for value in get_args(annotation)
        if isinstance(value, str)
    }


@pytest.mark.parametrize("name", _KINDS)
def test_the_documented_trace_has_each_field_of_an_event(name: str) -> None:
    events, _, _ = (ROOT / "docs/trace.md").read_text().partition("The states of a node")
    (cell,) = re.findall(rf"^\| `{name}` \| (.*) \|$", events, re.MULTILINE)
    documented = set(re.findall(r"`(\w+)`", cell))
    fields = set(_KINDS[name].model_fields) - {"t", "type"}
    of_records = set(_OF_RECORDS) if name == "task" else set()

    assert fields <= documented
    assert documented - fields - _values(_KINDS[name]) == of_records


def test_the_site_has_each_page() -> None:
    listed = set(re.findall(r"[\w./-]+\.md", (ROOT / "mkdocs.yml").read_text()))

    assert listed == {path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md")}
