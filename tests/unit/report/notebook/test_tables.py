"""Tables of a notebook: every text is escaped, and marked rows stand out."""

from orchestrator.report.document.grids import Cell, Grid
from orchestrator.report.notebook.tables import facts_html, grid_html

GRID = Grid("a caption", ("setting", "makespan s"), ((Cell("<1>", "best"), Cell("5.0")), (Cell("2"),)), frozenset({1}))


def test_a_table_has_title_columns_rows_caption_and_notes() -> None:
    html = grid_html("a <title>", GRID, ["note & more"])

    assert "<b>a &lt;title&gt;</b>" in html
    assert html.count("<tr>") == 3
    assert "&lt;1&gt;<br><small>best</small>" in html
    assert "<p>a caption</p><p>note &amp; more</p>" in html


def test_a_marked_row_is_bold() -> None:
    assert "<b>2</b>" in grid_html("t", GRID)


def test_facts_are_escaped() -> None:
    assert "<th>cost</th><td>&lt;$1&gt;</td>" in facts_html("t", [("cost", "<$1>")])
