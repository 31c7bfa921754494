"""Consoles, and tables as text. Text from others can't control the terminal."""

import io
import os
import sys
from functools import cache
from typing import TYPE_CHECKING

from orchestrator.plain_text import visible

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rich.console import Console, ConsoleOptions, RenderableType
    from rich.segment import Segment

_WIDTH_WITHOUT_TERMINAL = 160


def console(*, stderr: bool = False) -> "Console":
    """Return a console on stdout or stderr. Without a terminal and COLUMNS, it is wide enough for the tables."""
    stream = sys.stderr if stderr else sys.stdout
    # A service manager, or `>&-` in a script, may leave no stream at all.
    known = "COLUMNS" in os.environ or (stream is not None and stream.isatty())
    width = None if known else _WIDTH_WITHOUT_TERMINAL
    return _harmless_console()(stderr=stderr, width=width, markup=False, highlight=False)


def as_text(renderable: "RenderableType") -> str:
    """Return what a console would print, without colours and trailing blanks."""
    file = io.StringIO()
    plain = _harmless_console()(
        file=file, width=_WIDTH_WITHOUT_TERMINAL, markup=False, highlight=False, color_system=None
    )
    plain.print(renderable)
    return "\n".join(line.rstrip() for line in file.getvalue().rstrip().splitlines())


@cache
def _harmless_console() -> "type[Console]":
    """Return the class of consoles that show control characters in texts; their own, such as colours, are obeyed."""
    from rich.console import Console

    class HarmlessConsole(Console):
        def render(self, renderable: "RenderableType", options: "ConsoleOptions | None" = None) -> "Iterable[Segment]":
            for segment in super().render(renderable, options):
                yield segment if segment.control else segment._replace(text=visible(segment.text))

    return HarmlessConsole
