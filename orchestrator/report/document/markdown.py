"""The report as Markdown: the same text and tables as the page, and each plot in words."""

import re
from collections.abc import Iterable

from orchestrator.plain_text import visible
from orchestrator.report.document.content import Report, SettingSection, trial_facts
from orchestrator.report.document.environment import when
from orchestrator.report.document.grids import Cell, Grid, faults_grid, launches_grid, why_no_other
from orchestrator.report.document.sweep_plots import costs_grid, sweep_figures
from orchestrator.report.document.trial_plots import trial_figures

# What Markdown or HTML in it would read as more than text.
_SPECIAL = re.compile(r"([\\`*_\[\]<>|#~&])")


def markdown(report: Report) -> str:
    """Return the whole report; what users typed is escaped."""
    return visible("\n".join(_lines(report))).rstrip() + "\n"


def escaped(text: str) -> str:
    """Text on one line that Markdown takes as it is."""
    return _SPECIAL.sub(r"\\\1", " ".join(text.split()))


def _lines(report: Report) -> Iterable[str]:
    record = report.record
    yield f"# Sweep {record.sweep_id}" + (f": {escaped(record.name)}" if record.name else "")
    yield from ("", f"Ray autoscaler settings, {record.backend} backend, begun {when(record.created)}", "")
    yield from (f"## {escaped(report.headline)}", "")
    if report.advice is not None:
        yield from _items(report.advice.reasons)
        if report.advice.doubts:
            yield from ("Caveats:", "")
            yield from _items(report.advice.doubts)
        yield from ("For the cluster config:", "")
        yield from _fenced(report.cluster_config, "yaml")
    yield from _items(f"{name}: {value}" for name, value in report.facts)
    yield from ("## Settings", "")
    yield from _table(report.settings)
    yield from ("## Trials", "")
    if report.left_out:
        yield from (escaped(report.left_out), "")
    for section in report.sections:
        yield from _section(section)
    yield from ("## Cost, and makespan against cost", "")
    for figure in sweep_figures(report):
        yield from (f"**{escaped(figure.title)}.** {escaped(figure.alternative)}.", "")
    if (costs := costs_grid(report)) is not None:
        yield from _table(costs)
    yield from ("## Validity and warnings", "")
    if report.problems:
        yield from ("Invalid trials are in no number of this report.", "")
    yield from _items(
        [*(f"{kind}: {name}: {text}" for kind, name, text in report.problems), *report.evidence.warnings]
        or ["No trial failed, is invalid or has a warning."]
    )
    yield from _items(f"not finished: {line}" for line in report.unfinished)
    yield from ("## Environment", "")
    yield from _items(f"{name}: {value}" for name, value in report.environment)
    if report.in_force is not None:
        yield from ("### In force under each setting", "")
        yield from _table(report.in_force)
    yield from ("## Repeat it", "")
    if report.repeat is not None:
        yield from _fenced(report.repeat.spec, "yaml") if report.repeat.spec else ()
        yield from _fenced(report.repeat.command, "sh")
        yield from _items(report.repeat.notes)


def _section(section: SettingSection) -> Iterable[str]:
    yield from (f"### {escaped(section.heading)}", "")
    for drawn in section.drawn:
        trial = drawn.record.trial
        yield from (f"#### Trial {trial.trial_id}, repeat {trial.repeat}", "")
        yield from _items(f"{name}: {value}" for name, value in trial_facts(drawn.record))
        if drawn.problem:
            yield from (escaped(drawn.problem), "")
        yield from _items(f"{figure.title}: {figure.alternative}" for figure in trial_figures(drawn.series))
        if drawn.series is not None and (faults := faults_grid(drawn.series.hits)) is not None:
            yield from _table(faults)
        if (launches := launches_grid(drawn.explanation)) is not None:
            yield from _table(launches)
        if why := why_no_other(drawn.explanation):
            yield from (escaped(why), "")
    if len(section.trials.rows) > 1 or not section.drawn:
        yield from _table(section.trials)


def _table(grid: Grid) -> Iterable[str]:
    if not grid.rows:
        yield from ("Nothing yet.", "")
        return
    yield from (escaped(grid.caption), "")
    yield _row(escaped(column) for column in grid.columns)
    yield _row([":--", *("--:" for _ in grid.columns[1:])])
    for number, row in enumerate(grid.rows):
        cells = [_cell(cell) for cell in row]
        yield _row([f"**{cells[0]}**" if number in grid.marked else cells[0], *cells[1:]])
    yield ""


def _cell(cell: Cell) -> str:
    return escaped(cell.text + (f" ({cell.below})" if cell.below else ""))


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _items(texts: Iterable[str]) -> Iterable[str]:
    lines = [f"- {escaped(text)}" for text in texts]
    return [*lines, ""] if lines else []


def _fenced(text: str, language: str) -> Iterable[str]:
    """Return a code block, with a fence longer than any in the text."""
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return [f"{fence}{language}", text.rstrip("\n"), fence, ""]
