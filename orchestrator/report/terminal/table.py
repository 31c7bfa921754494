"""A table for the terminal that stays readable in a narrow one."""

from collections.abc import Iterable, Sequence
from copy import copy

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.measure import Measurement
from rich.style import StyleType
from rich.table import Column, Table
from rich.text import Text

_GAP = 2
_PROSE = 30


class FittedTable(Table):
    """A table that fits its terminal: if it is too wide, its headings wrap, and then it omits columns, and says so.

    Strings are shown as they are: names and reasons are the user's, and no markup. Cells of a `prose` column wrap at
    words. The `optional` columns are omitted in this order.
    """

    def __init__(self, *columns: str, title: str = "", optional: Sequence[str] = (), prose: Sequence[str] = ()) -> None:
        super().__init__(box=None, pad_edge=False)
        self._heading = title
        self.header_style = "bold"
        self._optional = tuple(optional)
        self._prose = frozenset(prose)
        for number, column in enumerate(columns):
            left = number == 0 or column in self._prose
            self.add_column(column, justify="left" if left else "right", overflow="fold")

    def add_row(self, *cells: RenderableType | None, style: StyleType | None = None, end_section: bool = False) -> None:
        """Add a row; a string is shown as it is."""
        plain = (Text(cell) if isinstance(cell, str) else cell for cell in cells)
        super().add_row(*plain, style=style, end_section=end_section)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        table, omitted = self._fitted(console, options)
        if self._heading:
            # A title of `Table` itself would wrap at the width of the table.
            yield Text(self._heading, style="bold")
        yield from Table.__rich_console__(table, console, options)
        if omitted:
            yield Text(f"omitted at this width: {', '.join(omitted)}", style="dim")

    def _fitted(self, console: Console, options: ConsoleOptions) -> tuple[Table, list[str]]:
        """Return a table that fits, and the columns that it lacks."""
        wide = options.update(width=10_000)
        natural = {id(each): self._measured(console, wide, each) for each in self.columns}
        if _total(natural.values()) <= options.max_width:
            return self, []
        narrow = {id(each): self._narrowest(console, wide, each) for each in self.columns}
        columns, omitted = list(self.columns), []
        for name in self._optional:
            if _total(narrow[id(each)] for each in columns) <= options.max_width:
                break
            found = next((each for each in columns if each.header == name), None)
            if found is not None:
                columns.remove(found)
                omitted.append(name)
        fitted = copy(self)
        room = options.max_width - _total(narrow[id(each)] for each in columns)
        fitted.columns = []
        for each in columns:
            width = narrow[id(each)]
            if room > 0:
                # The first columns get back what there is room for.
                extra = min(room, natural[id(each)] - width)
                room, width = room - extra, width + extra
            fitted.columns.append(_narrowed(each, width, len(fitted.columns)))
        return fitted, omitted

    def _measured(self, console: Console, options: ConsoleOptions, column: Column) -> int:
        return max(
            (Measurement.get(console, options, each).maximum for each in (column.header, *column.cells)), default=0
        )

    def _narrowest(self, console: Console, options: ConsoleOptions, column: Column) -> int:
        """Return the least width at which no cell and no word of the heading is broken; a prose column needs little."""
        header = Measurement.get(console, options, column.header).minimum
        cells = max((Measurement.get(console, options, each).maximum for each in column.cells), default=0)
        return max(header, min(cells, _PROSE) if column.header in self._prose else cells)


def _total(widths: Iterable[int]) -> int:
    each = list(widths)
    return sum(each) + _GAP * max(0, len(each) - 1)


def _narrowed(column: Column, width: int, index: int) -> Column:
    narrowed = copy(column)
    narrowed.max_width = width
    narrowed._index = index
    return narrowed
