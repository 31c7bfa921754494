"""Consoles, and tables as text."""

import io
import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

_WIDTH_WITHOUT_TERMINAL = 160


def console(*, stderr: bool = False) -> "Console":
    """Return a console on stdout or stderr. Without a terminal and COLUMNS, it is wide enough for the tables."""
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    # A service manager, or `>&-` in a script, may leave no stream at all.
    known = "COLUMNS" in os.environ or (stream is not None and stream.isatty())
    width = None if known else _WIDTH_WITHOUT_TERMINAL
    return Console(stderr=stderr, width=width, markup=False, highlight=False)


def as_text(renderable: "RenderableType") -> str:
    """Return what a console would print, without colours and trailing blanks."""
    from rich.console import Console

    file = io.StringIO()
    plain = Console(file=file, width=_WIDTH_WITHOUT_TERMINAL, markup=False, highlight=False, color_system=None)
    plain.print(renderable)
    return "\n".join(line.rstrip() for line in file.getvalue().rstrip().splitlines())
