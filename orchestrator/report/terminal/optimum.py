"""The result of `simulate --optimise` as a table, as lines for a cluster config and as JSON, and its progress."""

from collections.abc import Iterable, Sequence

from pydantic import BaseModel, ConfigDict
from rich.console import Group, RenderableType
from rich.text import Text

from orchestrator.analysis.sweep.summary import SettingSummary
from orchestrator.model import quantities
from orchestrator.model.quantities import Quantity
from orchestrator.model.settings import short_labels
from orchestrator.optimiser.optimise import TOLERANCE, Optimum
from orchestrator.report.cluster_lines import cluster_lines
from orchestrator.report.terminal.table import FittedTable
from orchestrator.report.terminal.tables import all_with, optional_columns, spread_cell

MAX_ROWS_OF_A_FRONT = 20


class OptimumRow(SettingSummary):
    """A setting's summary over the seeds, and its objective: null if it can't be judged."""

    objective: float | None


class OptimumDocument(BaseModel):
    """A search and its result. The front is that of `makespan_s` and `against`, the fastest first."""

    model_config = ConfigDict(title="Optimum")

    objective: str
    searched: dict[str, tuple[float, float] | tuple[str, ...]]
    fixed: dict[str, float | str]
    seeds: list[int]
    evaluated: int
    infeasible: int
    against: str
    reference: OptimumRow
    best: OptimumRow
    front: list[OptimumRow]
    assumptions: list[str] = []


def optimum_document(optimum: Optimum, seeds: Sequence[int], assumptions: Sequence[str] = ()) -> OptimumDocument:
    """Return the answer as a document."""

    def row(summary: SettingSummary) -> OptimumRow:
        return OptimumRow(**{**dict(summary), "best": summary == optimum.best}, objective=optimum.value(summary))

    space = optimum.space
    one_version = len(space.autoscalers) == 1
    return OptimumDocument(
        objective=optimum.objective.text,
        searched={
            **({} if one_version else {"autoscaler": space.autoscalers}),
            **{knob.name: (knob.low, knob.high) for knob in space.knobs},
        },
        fixed={**({"autoscaler": space.autoscalers[0]} if one_version else {}), **space.fixed},
        seeds=list(seeds),
        evaluated=optimum.evaluated,
        infeasible=optimum.infeasible,
        against=optimum.against,
        reference=row(optimum.reference),
        best=row(optimum.best),
        front=[row(summary) for summary in optimum.front],
        assumptions=list(assumptions),
    )


def optimum_table(
    optimum: Optimum,
    seeds: Sequence[int],
    more_notes: Sequence[str] = (),
    assumptions: Sequence[str] = (),
    provider: str | None = None,
) -> RenderableType:
    """Return the present setting, the best and the front, then the search space and the lines to paste."""
    headings = (each.column for each in _quantities(optimum))
    front = optimum.front[:MAX_ROWS_OF_A_FRONT]
    shared, labels = short_labels([row.settings for row in (optimum.reference, optimum.best, *front)])
    table = FittedTable(
        *("", "setting", *headings, "objective", "change"),
        title=all_with(shared),
        optional=optional_columns(_quantities(optimum)),
    )
    table.columns[1].justify = "left"
    table.add_row("reference", *_cells(optimum, optimum.reference, labels[0]))
    table.add_row("best", *_cells(optimum, optimum.best, labels[1]), style="bold", end_section=True)
    for number, (row, label) in enumerate(zip(front, labels[2:], strict=True)):
        table.add_row("front" if number == 0 else "", *_cells(optimum, row, label))
    more = len(optimum.front) - MAX_ROWS_OF_A_FRONT
    rest = [Text(f"… and {more} more; --json has all")] if more > 0 else []
    notes = [Text(f"assumption: {each}", style="yellow") for each in assumptions]
    notes += [Text(f"note: {note}") for note in [*more_notes, *_notes(optimum, seeds)]]
    return Group(table, *rest, *notes, Text(), Text(cluster_lines(optimum.best.settings, provider).rstrip()))


def _quantities(optimum: Optimum) -> list[Quantity]:
    return [each for each in quantities.QUANTITIES if "optimum" in each.shown or each.name == optimum.against]


def _cells(optimum: Optimum, row: SettingSummary, label: str) -> list[str]:
    value, reference = optimum.value(row), optimum.value(optimum.reference)
    change = "-"
    if value is not None and reference and row != optimum.reference:
        change = f"{(value - reference) / abs(reference):+.1%}"
    return [
        label,
        *(spread_cell(row.spread(each.name), each) for each in _quantities(optimum)),
        "-" if value is None else f"{value:.5g}",
        change,
    ]


def _notes(optimum: Optimum, seeds: Sequence[int]) -> Iterable[str]:
    space = optimum.space
    searched = [f"{knob.name} {knob.low:g}-{knob.high:g}" for knob in space.knobs]
    if len(space.autoscalers) > 1:
        searched.insert(0, f"autoscaler {', '.join(space.autoscalers)}")
    fixed = [] if len(space.autoscalers) > 1 else [f"autoscaler {space.autoscalers[0]}"]
    fixed += [f"{name} {value:g}" for name, value in space.fixed.items()]
    yield f"objective: {optimum.objective.text}; the lowest is best"
    yield f"searched: {', '.join(searched)}; held fixed: {', '.join([*fixed, 'shape and workload'])}"
    which = f"seed {seeds[0]}" if len(seeds) == 1 else f"seeds {seeds[0]} to {seeds[-1]}"
    unjudged = f", {optimum.infeasible} without a valid result" if optimum.infeasible else ""
    yield f"settings tried: {optimum.evaluated}{unjudged}, each under {which}: median (lowest-highest)"
    yield (
        f"best is the one nearest to the reference among those within {TOLERANCE:.1%} of the lowest objective "
        "that no other setting beats in makespan and cost"
    )
    if not space.allows(optimum.reference.settings):
        yield "the reference is outside of what was searched, so that it can't be best"
    elif optimum.best == optimum.reference:
        yield f"nothing that was tried is better than the reference by more than {TOLERANCE:.1%}"
