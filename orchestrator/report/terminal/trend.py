"""Trends for the terminal: a trial over time, one line of bars for each quantity."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

from orchestrator.analysis.trial.steps import StepFunction

if TYPE_CHECKING:
    from orchestrator.analysis.trial.series import Series

_BARS = "▁▂▃▄▅▆▇█"
_WIDEST = 100


class Trends:
    """Lines of bars over the same time from 0 to `until_s`, as wide as there is room: the highest value of each moment.

    `rows` are names, step functions, and the value of a full bar; None takes the highest value of the row itself.
    """

    def __init__(self, rows: Sequence[tuple[str, StepFunction, float | None]], until_s: float) -> None:
        self._rows = rows
        self._until_s = until_s

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        if not self._rows or self._until_s <= 0:
            return
        names = [name for name, _, _ in self._rows]
        margin = max(map(len, names)) + 1
        found = []
        for _, steps, full in self._rows:
            highest, _ = steps.maximum(0.0, self._until_s)
            found.append((full or highest, f" max {highest:g}" + (f" of {full:g}" if full else "")))
        width = min(_WIDEST, options.max_width - margin - max(len(text) for _, text in found))
        if width < 1:
            return
        for (name, steps, _), (full, text) in zip(self._rows, found, strict=True):
            bars = sparkline(steps.highest_of(self._until_s, width), full)
            yield Text.assemble(f"{name:<{margin}}", (bars, "cyan"), text)
        end = f"{self._until_s:.0f} s"
        yield Text(f"{'':<{margin}}0{end.rjust(width - 1)}", style="dim")


def sparkline(values: Sequence[float], full: float) -> str:
    """Return a bar for each value, from a blank for 0 to a whole one for `full` and more."""
    if full <= 0:
        return " " * len(values)
    return "".join(" " if value <= 0 else _BARS[_level(value / full)] for value in values)


def _level(share: float) -> int:
    return min(len(_BARS), math.ceil(share * len(_BARS))) - 1


def trial_trends(found: "Series") -> Trends:
    """Return pending tasks, and by architecture nodes and the CPUs in use of those that there were."""
    rows: list[tuple[str, StepFunction, float | None]] = [("pending tasks", found.pending_tasks, None)]
    rows += [(f"nodes {arch}", steps, None) for arch in found.arches if (steps := found.nodes.get(arch))]
    for arch in found.arches:
        if used := found.used.get(arch):
            capacity, _ = found.capacity[arch].maximum(0.0, found.until_s) if arch in found.capacity else (0.0, 0.0)
            rows.append((f"CPUs used {arch}", used, capacity or None))
    return Trends(rows, found.until_s)
