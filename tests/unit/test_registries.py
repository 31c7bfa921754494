"""What varies is registered once: an entry is seen everywhere it belongs, and no other module keeps a list."""

import ast
import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import pytest
from pydantic import ValidationError
from rich.console import Console, RenderableType

from orchestrator.analysis.sweep.comparison import Side, compare_sides
from orchestrator.analysis.sweep.evidence import main_quantities, weigh
from orchestrator.analysis.sweep.objective import Objective
from orchestrator.cli.parsing import parse_set
from orchestrator.grafana.boards import build
from orchestrator.inputs.cluster_config import ClusterFile
from orchestrator.lab.overrides import SpecOverrides
from orchestrator.metrics import catalogue
from orchestrator.metrics.catalogue import METRICS, Metric
from orchestrator.metrics.exporter import numbers
from orchestrator.model import arrivals, quantities
from orchestrator.model.events import PHASES, DemandEvent
from orchestrator.model.quantities import QUANTITIES, Place, Quantity
from orchestrator.model.settings import Setting, Settings, settings
from orchestrator.model.spec import Axes, SweepSpec
from orchestrator.model.workload import Workload
from orchestrator.report.document.content import gather
from orchestrator.report.document.markdown import markdown
from orchestrator.report.document.reproduce import repeat
from orchestrator.report.export.columns import data_dictionary
from orchestrator.report.export.frames import tables, trials_frame
from orchestrator.report.json_document import schema, sweep_document
from orchestrator.report.junit import junit_xml
from orchestrator.report.terminal.comparison import comparison_tables
from orchestrator.report.terminal.recommendation import recommendation_tables
from orchestrator.report.terminal.tables import sweep_table, trial_tables
from orchestrator.sweeps.fit import Machine
from orchestrator.sweeps.ledger import SweepRecord, results_of
from orchestrator.sweeps.plan import make_plan
from tests.support.builders import SHAPE, T0, scorecard, sweep_record, trial, trial_record
from tests.support.scraped_exporter import exporter_of, exposed, series

METRICS_PAGE = Path(__file__).parents[2] / "docs" / "metrics.md"
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
    found = compare_sides(slow, fast, main_quantities())
    (row,) = [each for each in found.pairs[0].contrasts if each.quantity == "tasks_per_node"]

    assert Objective.parse("10*tasks_per_node").names == {"tasks_per_node"}
    assert row.verdict == "higher"
    assert style_of(found, "tasks a node 1/min") == "green"
    assert style_of(found, "makespan s") == "green"


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


# A metric

TASKS_A_CPU = Metric(
    "pending_tasks_per_cpu",
    "gauge",
    (),
    "Tasks that wait, for each CPU that they need.",
    value=lambda state: {(): sum(state.pending.values()) / state.pending_cpus} if state.pending_cpus else None,
)


def test_a_metric_is_served_and_documented(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalogue, "METRICS", (*METRICS, TASKS_A_CPU))
    exporter = exporter_of(DemandEvent(t=T0, pending={"CPU=2": 6}, pending_cpus=12.0))

    assert series(exporter, "pending_tasks_per_cpu") == {(): 0.5}
    assert TASKS_A_CPU.help in exposed(exporter)
    assert "| `pending_tasks_per_cpu` | gauge |" in catalogue.documented(METRICS_PAGE.read_text())


def test_the_documented_metrics_are_those_of_the_code() -> None:
    page = METRICS_PAGE.read_text()

    assert page == catalogue.documented(page), "make docs-tables"
    assert all(f"| `{each.documented_name}` |" in page for each in METRICS)


def test_a_metric_ends_with_its_unit_and_has_buckets_if_it_is_a_histogram() -> None:
    for each in METRICS:
        assert each.name.endswith(each.unit)
        assert bool(each.buckets) == (each.type == "histogram")
        assert each.help.endswith(".")


# An arrival pattern


@pytest.fixture
def pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Register a pattern with a parameter of its own, for one test."""
    monkeypatch.setattr(arrivals, "ARRIVALS", dict(arrivals.ARRIVALS))
    exec(PAIRS, {})


PAIRS = """
from dataclasses import dataclass
from orchestrator.model.arrivals import Arrival, parameter, register

@register
@dataclass(frozen=True)
class Pairs(Arrival):
    name = "pairs"
    meaning = "two by two"
    period_s: float = parameter(30.0, "seconds between two pairs", unit="s", least=1, most=600)

    def offsets(self, tasks, seed):
        return [self.period_s * (task // 2) for task in range(tasks)]
"""
TEXTS: tuple[dict[str, Any], ...] = (
    {"arrival": "pairs:period_s=20"},
    {"arrival": "pairs", "arrival_parameters": {"period_s": 20}},
)


@pytest.mark.usefixtures("pairs")
@pytest.mark.parametrize("workload", TEXTS)
def test_an_arrival_is_read_from_a_spec_and_changes_the_id_of_a_trial(workload: dict[str, Any]) -> None:
    spec = SweepSpec.model_validate({"fit": "none", "workload": {"tasks": 5, **workload}})
    plan = make_plan(spec, ClusterFile(Path("local.yaml"), {}, SHAPE, None, None), Machine(64, 2**38))
    default = trial(workload={"tasks": 5, "arrival": "pairs"})

    assert plan.workload.work[0].pattern.offsets(5, seed=0) == [0.0, 0.0, 20.0, 20.0, 40.0]
    assert plan.workload.describe().endswith("pairs over 0 s (period_s=20)")
    assert trial(workload={"tasks": 5, **workload}).trial_id != default.trial_id


@pytest.mark.usefixtures("pairs")
@pytest.mark.parametrize("value", ["700", "0", "nan", "x"])
def test_a_parameter_of_an_arrival_has_limits(value: str) -> None:
    with pytest.raises(ValidationError, match="period_s"):
        Workload.model_validate({"arrival": f"pairs:period_s={value}"})


@pytest.mark.usefixtures("pairs")
def test_a_parameter_of_an_arrival_is_exported_explained_and_repeated() -> None:
    record = trial_record(trial(workload={"arrival": "pairs:period_s=20"}), scorecard=None)
    spec = SweepSpec.model_validate({"workload": {"arrival": "pairs:period_s=20"}})
    repeated = repeat(sweep_record(record, spec=spec.model_dump(mode="json")))

    assert trials_frame([record])["workload_period_s"].to_list() == [20.0]
    assert trials_frame([trial_record(trial())])["workload_period_s"].to_list() == [None]
    assert "| `workload_period_s` | float | s | seconds between two pairs" in data_dictionary(tables())
    assert repeated is not None
    assert "--arrival pairs:period_s=20" in repeated.command
    assert "| `pairs` | two by two | `period_s` (1 to 600 s, default 30) |" in arrivals.documentation()


def test_an_arrival_is_in_the_help_of_the_command_line() -> None:
    code = f"{PAIRS}\nfrom orchestrator.cli import main\nmain()"
    result = subprocess.run(
        [sys.executable, "-c", code, "sweep", "--help"],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "COLUMNS": "200"},
    )

    assert "[burst|waves|ramp|poisson|pairs]" in result.stdout
    assert "pairs (two by two; period_s: seconds between two pairs)" in " ".join(result.stdout.split())


# A setting


def test_a_setting_that_is_added_leaves_the_dumps_of_older_trials_alone() -> None:
    class Later(Settings):
        batch_pause_s: Annotated[float, Setting("a pause", unit="s", environment="PAUSE_S")] = 2.0

    assert Later(upscaling_speed=5).model_dump() == Settings(upscaling_speed=5).model_dump()
    assert Later(batch_pause_s=3.0).model_dump()["batch_pause_s"] == 3.0


def test_each_setting_is_known_wherever_settings_are() -> None:
    axes = {name: "v1" if name == "autoscaler" else 1 for name in settings()}

    assert list(Axes.model_fields) == list(settings())
    assert parse_set([f"{name}={value}" for name, value in axes.items()]).keys() == settings().keys()
    assert settings().keys() <= set(trials_frame([]).columns)
    assert settings().keys() <= SpecOverrides.__annotations__.keys()
    assert set(Settings().monitor_environment()) == {each.environment for each in settings().values()} - {""}


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


@pytest.mark.parametrize(
    ("names", "home", "at_least"),
    [
        ({each.name for each in QUANTITIES}, ("model/quantities.py",), 3),
        ({each.column for each in QUANTITIES}, ("model/quantities.py",), 3),
        ({each.name for each in METRICS}, ("metrics/catalogue.py",), 3),
        (set(settings()), ("model/settings.py",), 4),
        (set(arrivals.names()), ("model/arrivals.py",), 3),
        (set(PHASES), ("model/events.py", "grafana/boards/style.py"), 4),  # the latter: a colour for each
    ],
    ids=["quantities", "headings", "metrics", "settings", "arrivals", "phases"],
)
def test_what_is_registered_is_listed_nowhere_else(names: set[str], home: tuple[str, ...], at_least: int) -> None:
    assert second_lists(names, at_least, at_home=home) == []
