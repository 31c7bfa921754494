"""A table of the documentation that is generated from the code, between two markers of a page."""

from collections.abc import Callable, Iterable
from pathlib import Path


def with_table(page: str, name: str, table: str) -> str:
    """Return a page with a table in place of what is between its markers, such as `<!-- metrics: begin -->`."""
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    before, _, rest = page.partition(begin)
    _, _, after = rest.partition(end)
    return f"{before}{begin}\n\n{table}\n\n{end}{after}"


def rewrite(files: Iterable[str], documented: Callable[[str], str]) -> None:
    """Write pages again, each with its tables as `documented` returns them."""
    for file in map(Path, files):
        file.write_text(documented(file.read_text(encoding="utf-8")), encoding="utf-8")
