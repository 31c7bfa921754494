"""Tables for export: columns with unit and meaning, from which both the data and their dictionary come."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar

Row = TypeVar("Row")
Kind = Literal["text", "number", "count", "flag", "time"]


@dataclass(frozen=True)
class Column(Generic[Row]):
    """One column: `value` gives it for a row, None where it isn't known. `time` is UTC, from UNIX seconds."""

    name: str
    kind: Kind
    unit: str
    meaning: str
    value: Callable[[Row], Any]


@dataclass(frozen=True)
class TableOf(Generic[Row]):
    """A table: its name, what a row of it is, and its columns."""

    name: str
    row_is: str
    columns: tuple[Column[Row], ...]

    def values(self, rows: Sequence[Row]) -> dict[str, list[Any]]:
        """Return the rows by column."""
        return {column.name: [column.value(row) for row in rows] for column in self.columns}


_KINDS: dict[Kind, str] = {
    "text": "text",
    "number": "float",
    "count": "integer",
    "flag": "true or false",
    "time": "date and time, UTC",
}


def data_dictionary(tables: Iterable[TableOf[Any]], assumptions: Sequence[str] = ()) -> str:
    """Return the tables and their columns in Markdown, and what the numbers rest on."""
    lines = [
        "# Data dictionary",
        "",
        "Seconds count from the moment when the trial's first task was submitted, unless a meaning says otherwise.",
        "A value that isn't known, or doesn't exist, is null (empty in CSV). Rows of one trial share `sweep_id` and",
        "`trial_id`.",
    ]
    for table in tables:
        lines += ["", f"## {table.name}", "", f"{table.row_is}", "", "| column | type | unit | meaning |"]
        lines += ["|---|---|---|---|"]
        lines += [f"| `{each.name}` | {_KINDS[each.kind]} | {each.unit} | {each.meaning} |" for each in table.columns]
    if assumptions:
        lines += ["", "## Assumptions", "", *(f"- {each}" for each in assumptions)]
    return "\n".join(lines) + "\n"
