"""Trends: bars for the terminal."""

import io

import pytest
from rich.console import Console

from orchestrator.analysis.trial.steps import StepFunction
from orchestrator.report.terminal.trend import Trends, sparkline


def printed(trends: Trends, width: int) -> list[str]:
    file = io.StringIO()
    Console(file=file, width=width, color_system=None).print(trends)
    return [line.rstrip() for line in file.getvalue().splitlines()]


@pytest.mark.parametrize(
    ("values", "full", "bars"),
    [
        ([0, 1, 4, 8, 9], 8, " ▁▄██"),
        ([0.001], 8, "▁"),
        ([0, 0], 0, "  "),
        ([], 8, ""),
    ],
)
def test_a_bar_is_as_high_as_its_value(values: list[float], full: float, bars: str) -> None:
    assert sparkline(values, full) == bars


def test_each_row_shows_its_highest_value_or_its_share_of_a_limit() -> None:
    steps = StepFunction((0.0, 5.0), (8.0, 2.0))

    assert printed(Trends([("pending", steps, None), ("CPUs used", steps, 16.0)], 10.0), 32) == [
        "pending   ██████▂▂▂▂ max 8",
        "CPUs used ▄▄▄▄▄▄▁▁▁▁ max 8 of 16",
        "          0     10 s",
    ]


def test_a_short_peak_is_seen() -> None:
    line, _ = printed(Trends([("nodes", StepFunction((0.0, 50.0, 50.1), (1.0, 8.0, 1.0)), None)], 100.0), 24)

    assert "█" in line


@pytest.mark.parametrize(("rows", "until_s"), [([], 10.0), ([("nodes", StepFunction((), ()), None)], 0.0)])
def test_nothing_is_drawn_where_there_is_nothing(
    rows: list[tuple[str, StepFunction, float | None]], until_s: float
) -> None:
    assert printed(Trends(rows, until_s), 80) == []


def test_the_highest_values_of_equal_parts() -> None:
    steps = StepFunction((-5.0, 0.0, 2.0, 2.5, 7.0), (1.0, 5.0, 9.0, 3.0, 0.0))

    assert steps.highest_of(10.0, 10) == [5, 5, 9, 3, 3, 3, 3, 3, 0, 0]
    assert steps.highest_of(10.0, 2) == [9, 3]
    assert StepFunction((20.0,), (4.0,)).highest_of(10.0, 3) == [0, 0, 0]
    assert StepFunction((), (), before=2.0).highest_of(10.0, 2) == [2, 2]
