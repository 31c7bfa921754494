"""Tables as HTML that a notebook shows in place of a text."""

from collections.abc import Iterable, Sequence
from html import escape

from orchestrator.report.document.grids import Cell, Grid

_NUMBER = ' style="text-align: right"'


def grid_html(title: str, grid: Grid, notes: Iterable[str] = ()) -> str:
    """Return a table with its title above, its caption and notes below. Marked rows are bold."""
    head = "".join(f"<th{_NUMBER if at else ''}>{escape(column)}</th>" for at, column in enumerate(grid.columns))
    body = "".join(_row(row, bold=number in grid.marked) for number, row in enumerate(grid.rows))
    below = "".join(f"<p>{escape(note)}</p>" for note in (grid.caption, *notes) if note)
    return f"<p><b>{escape(title)}</b></p><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{below}"


def facts_html(title: str, facts: Iterable[tuple[str, str]]) -> str:
    """Return a table of names and values."""
    body = "".join(f"<tr><th>{escape(name)}</th><td>{escape(value)}</td></tr>" for name, value in facts)
    return f"<p><b>{escape(title)}</b></p><table><tbody>{body}</tbody></table>"


def _row(cells: Sequence[Cell], *, bold: bool) -> str:
    texts = [escape(cell.text) + (f"<br><small>{escape(cell.below)}</small>" if cell.below else "") for cell in cells]
    if bold:
        texts = [f"<b>{text}</b>" for text in texts]
    numbers = "".join(f"<td{_NUMBER}>{text}</td>" for text in texts[1:])
    return f'<tr><th style="text-align: left">{texts[0]}</th>{numbers}</tr>'
