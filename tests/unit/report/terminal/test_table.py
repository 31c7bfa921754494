"""Tables in terminals of different widths."""

import io

import pytest
from rich.console import Console

from orchestrator.report.terminal.table import FittedTable


def printed(table: FittedTable, width: int) -> list[str]:
    console = Console(file=io.StringIO(), width=width, color_system=None)
    console.print(table)
    assert isinstance(console.file, io.StringIO)
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


@pytest.fixture
def results() -> FittedTable:
    table = FittedTable("setting", "makespan s", "first node s", "launches", title="sweep", optional=("launches",))
    table.add_row("v2 speed=1", "597.7", "86.5", "14")
    table.add_row("v2 speed=10 *", "582.5 (580.1-590.2)", "72.3", "14")
    return table


def test_a_wide_terminal_shows_everything(results: FittedTable) -> None:
    assert printed(results, 80) == [
        "sweep",
        "setting                 makespan s  first node s  launches",
        "v2 speed=1                   597.7          86.5        14",
        "v2 speed=10 *  582.5 (580.1-590.2)          72.3        14",
    ]


def test_headings_wrap_first(results: FittedTable) -> None:
    assert printed(results, 53) == [
        "sweep",
        "                                      first",
        "setting                 makespan s   node s  launches",
        "v2 speed=1                   597.7     86.5        14",
        "v2 speed=10 *  582.5 (580.1-590.2)     72.3        14",
    ]


def test_then_columns_are_omitted_and_named(results: FittedTable) -> None:
    lines = printed(results, 42)

    assert lines[-1] == "omitted at this width: launches"
    assert "v2 speed=10 *  582.5 (580.1-590.2)    72.3" in lines


@pytest.mark.parametrize("width", range(45, 70))
def test_no_word_and_no_number_is_broken(results: FittedTable, width: int) -> None:
    lines = printed(results, width)

    assert all(len(line) <= width for line in lines)
    assert any("v2 speed=10 *  582.5 (580.1-590.2)" in line for line in lines)


def test_prose_wraps_between_words() -> None:
    table = FittedTable("check", "advice", prose=("advice",))
    table.add_row("engine", "install one, or start the one that is there, or ask somebody who knows")

    assert printed(table, 44) == [
        "check   advice",
        "engine  install one, or start the one that",
        "        is there, or ask somebody who knows",
    ]


def test_strings_are_no_markup() -> None:
    table = FittedTable("name")
    table.add_row("[bold]mine[/bold]")

    assert printed(table, 40) == ["name", "[bold]mine[/bold]"]
