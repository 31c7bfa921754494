"""What varies is registered once: an entry is seen everywhere it belongs, and no other module keeps a list."""

import ast
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console, RenderableType

from orchestrator.analysis.sweep.comparison import Side, compare_sides
from orchestrator.analysis.sweep.evidence import weigh
from orchestrator.analysis.sweep.objective import Objective
from orchestrator.grafana.boards import build
from orchestrator.metrics.exporter import numbers
from orchestrator.model import quantities
from orchestrator.model.quantities import QUANTITIES, Place, Quantity
from orchestrator.report.document.content import gather
from orchestrator.report.document.markdown import markdown
from orchestrator.report.export.columns import data_dictionary
from orchestrator.report.export.frames import tables, trials_frame
from orchestrator.report.json_document import schema, sweep_document
from orchestrator.report.junit import junit_xml
from orchestrator.report.terminal.comparison import comparison_tables
from orchestrator.report.terminal.recommendation import recommendation_tables
from orchestrator.report.terminal.tables import sweep_table, trial_tables
from orchestrator.sweeps.ledger import SweepRecord, results_of
from tests.support.builders import scorecard, sweep_record, trial, trial_record

PACKAGE = Path(__file__).parents[2] / "orchestrator"


def show(table: RenderableType) -> str:
    console = Console(file=io.StringIO(), width=400)
    with console.capture() as captured:
        console.print(table)
    return captured.get()


# A quantity

TASKS_A_NODE = Quantity(
    name="tasks_per_node",
    heading="tasks a node",
    unit="1/min",
    digits=2,
    meaning="tasks for each node of the peak",
    value=lambda card: card.tasks / card.peak_nodes if card.peak_nodes else None,
    shown=frozenset(QUANTITIES[0].shown),
    better="higher",
)


@pytest.fixture
def swept(monkeypatch: pytest.MonkeyPatch) -> SweepRecord:
    """Return a sweep whose second setting runs 12.25 tasks a node, and whose first one runs 6."""
    monkeypatch.setattr(quantities, "QUANTITIES", (*QUANTITIES, TASKS_A_NODE))
    cards = {5: scorecard(30.0, tasks=48, peak_nodes=8), 10: scorecard(20.0, tasks=49, peak_nodes=4)}
    return sweep_record(
        *(
            trial_record(trial(upscaling_speed=speed).model_copy(update={"repeat": n, "seed": n}), scorecard=card)
            for n in range(1, 11)
            for speed, card in cards.items()
        )
    )


def test_a_quantity_is_in_the_tables_of_the_terminal(swept: SweepRecord) -> None:
    for table in (
        sweep_table(swept),
        trial_tables(swept.trials[1]),
        recommendation_tables(weigh(results_of(swept.trials))),
    ):
        text = show(table)

        assert "tasks a node 1/min" in text
        assert "12.25" in text


def test_a_quantity_is_in_a_report_in_each_of_its_tables(swept: SweepRecord) -> None:
    report = gather(swept)

    for grid in (report.settings, report.sections[1].trials):
        column = grid.columns.index("tasks a node 1/min")
        assert grid.rows[-1][column].text == "12.25"
    assert "tasks a node 1/min" in markdown(report)


def test_a_quantity_is_exported_and_explained(swept: SweepRecord) -> None:
    assert trials_frame(swept.trials)["tasks_per_node"].to_list() == [6.0, 12.25] * 10
    assert "| `tasks_per_node` | float | 1/min | tasks for each node of the peak |" in data_dictionary(tables())


def test_a_quantity_is_in_the_json_document_and_its_schema(swept: SweepRecord) -> None:
    document = json.loads(sweep_document(swept).model_dump_json())

    assert document["summary"][1]["tasks_per_node"] == {"median": 12.25, "low": 12.25, "high": 12.25, "n": 10}
    assert "tasks_per_node" in json.loads(schema())["$defs"]["SettingSummary"]["properties"]


def test_a_quantity_is_in_the_tables_of_grafana_and_in_the_metric_that_they_show(swept: SweepRecord) -> None:
    card = swept.trials[1].scorecard
    assert card is not None
    assert dict(numbers(card))["tasks_per_node"] == 12.25
    assert {name for name, text in build.build_all().items() if "Tasks a node" in text} == {
        "compare.json",
        "sweep.json",
    }


def test_a_quantity_is_in_junit(swept: SweepRecord) -> None:
    assert '<property name="tasks_per_node" value="12.25"' in junit_xml(swept)


def test_a_quantity_can_be_an_objective_and_is_compared_in_the_colour_of_its_direction(
    swept: SweepRecord,
) -> None:
    results = results_of(swept.trials)
    slow, fast = (Side.of(str(speed), results, {"upscaling_speed": speed}) for speed in (5, 10))
    found = compare_sides(slow, fast, quantities_compared())
    (row,) = [each for each in found.pairs[0].contrasts if each.quantity == "tasks_per_node"]

    assert Objective.parse("10*tasks_per_node").names == {"tasks_per_node"}
    assert row.verdict == "higher"
    assert style_of(found, "tasks a node 1/min") == "green"
    assert style_of(found, "makespan s") == "green"


def quantities_compared() -> list[str]:
    from orchestrator.analysis.sweep.evidence import main_quantities

    return main_quantities()


def style_of(found: Any, column: str) -> str:
    """Return the style of the verdict in the row of a quantity."""
    group: Any = comparison_tables(found, ())
    table = next(part for part in group.renderables if hasattr(part, "columns"))
    names = [cell.plain for cell in table.columns[0].cells]
    return str(list(table.columns[-1].cells)[names.index(column)].style)


@pytest.mark.parametrize("place", ["terminal", "report", "grafana", "junit", "export", "metrics"])
def test_each_place_shows_something_and_no_heading_twice(place: Place) -> None:
    headings = [each.column for each in quantities.shown_in(place)]

    assert headings
    assert len(set(headings)) == len(headings)


# No second list


def collections(path: Path) -> Iterator[tuple[int, set[str]]]:
    """Yield the line and the text constants of each tuple, list, set and mapping in a module."""
    for node in ast.walk(ast.parse(path.read_text())):
        match node:
            case ast.Tuple(elts=parts) | ast.List(elts=parts) | ast.Set(elts=parts):
                pass
            case ast.Dict(keys=keys):
                parts = [key for key in keys if key is not None]
            case _:
                continue
        texts = {part.value for part in parts if isinstance(part, ast.Constant) and isinstance(part.value, str)}
        nested = {
            part.elts[0].value
            for part in parts
            if isinstance(part, ast.Tuple) and part.elts and isinstance(part.elts[0], ast.Constant)
        }
        yield node.lineno, texts | {each for each in nested if isinstance(each, str)}


def second_lists(names: set[str], at_least: int = 3, *, at_home: tuple[str, ...] = ()) -> list[str]:
    """Return where else in the package a collection holds so many of the names."""
    return [
        f"{path.relative_to(PACKAGE)}:{line}: {', '.join(sorted(texts & names))}"
        for path in sorted(PACKAGE.rglob("*.py"))
        if str(path.relative_to(PACKAGE)) not in at_home
        for line, texts in collections(path)
        if len(texts & names) >= at_least
    ]


def test_quantities_are_listed_once() -> None:
    names = {each.name for each in QUANTITIES}

    assert second_lists(names, at_home=("model/quantities.py",)) == []
