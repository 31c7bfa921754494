"""The result of a search for the best settings."""

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from orchestrator.analysis.sweep.summary import SettingSummary
from orchestrator.lab.search import Found
from orchestrator.model.quantities import summarised
from orchestrator.model.settings import Settings

if TYPE_CHECKING:
    import plotly.graph_objects as go
    import polars as pl

    from orchestrator.report.document.grids import Grid


@dataclass(frozen=True, repr=False, eq=False)
class SearchResult:
    """The best settings, the reference that they are compared with, and the trade-off of makespan and cost."""

    found: Found

    @property
    def search_id(self) -> str:
        """The name of the optuna study in `searches.db` of the home."""
        return self.found.search_id

    @property
    def best(self) -> Settings:
        """The settings with the lowest objective."""
        return self.found.optimum.best.settings

    @property
    def reference(self) -> Settings:
        """The settings of the cluster file."""
        return self.found.optimum.reference.settings

    @property
    def front(self) -> tuple[Settings, ...]:
        """The settings with no other that is both faster and cheaper, the fastest first."""
        return tuple(row.settings for row in self.found.optimum.front)

    @property
    def cluster_config(self) -> str:
        """Lines with the best settings for a cluster config."""
        from orchestrator.report.cluster_lines import cluster_lines

        return cluster_lines(self.best, self.found.plan.provider)

    @cached_property
    def frame(self) -> "pl.DataFrame":
        """A row for the reference, the best and each setting of the front, with medians over the seeds."""
        import polars as pl

        return pl.DataFrame(
            [
                {
                    "role": role,
                    "setting": row.label,
                    "objective": self.found.optimum.value(row),
                    **{each.name: _median(row, each.name) for each in summarised()},
                }
                for role, row in self._rows()
            ]
        )

    def plot(self) -> "go.Figure":
        """Return the figure of makespan against cost: reference, best and front."""
        from orchestrator.report.document.sweep_plots import Point, front
        from orchestrator.report.notebook.figures import plotly_figure

        against = self.found.optimum.against
        on_front = {row.label for row in self.found.optimum.front}
        rows = {row.label: row for _, row in self._rows()}
        points = [
            Point(
                number=number,
                label=row.label,
                cost=cost,
                makespan=makespan,
                cost_interval=None,
                makespan_interval=None,
                trials=(),
                on_front=row.label in on_front,
                recommended=row == self.found.optimum.best,
            )
            for number, row in enumerate(rows.values(), start=1)
            if (cost := _median(row, against)) is not None and (makespan := _median(row, "makespan_s")) is not None
        ]
        return plotly_figure(front(points, "$" if against == "cost_usd" else "node-seconds"))

    def _rows(self) -> list[tuple[str, SettingSummary]]:
        optimum = self.found.optimum
        return [("reference", optimum.reference), ("best", optimum.best), *(("front", row) for row in optimum.front)]

    def _grid(self) -> "Grid":
        from orchestrator.report.document.grids import Cell, Grid

        optimum = self.found.optimum
        numbers = [each for each in summarised() if "optimum" in each.shown or each.name == optimum.against]
        rows = tuple(
            (
                Cell(role),
                Cell(row.label),
                *(Cell(each.text(_median(row, each.name))) for each in numbers),
                Cell("-" if (value := optimum.value(row)) is None else f"{value:.5g}"),
            )
            for role, row in self._rows()
        )
        columns = ("", "setting", *(each.column for each in numbers), "objective")
        return Grid("Medians over the seeds.", columns, rows, frozenset({1}))

    def _notes(self) -> list[str]:
        return [*(f"assumption: {each}" for each in self.found.plan.assumptions), *self.found.plan.notes]

    def _repr_html_(self) -> str:
        from orchestrator.report.notebook.tables import grid_html

        return grid_html(repr(self).strip("<>"), self._grid(), self._notes())

    def __str__(self) -> str:
        from orchestrator.report.terminal.optimum import optimum_table
        from orchestrator.report.terminal.output import as_text

        found, plan = self.found, self.found.plan
        table = optimum_table(found.optimum, found.seeds, plan.notes, plan.assumptions, plan.provider)
        return as_text(table)

    def __repr__(self) -> str:
        optimum = self.found.optimum
        return f"<SearchResult {optimum.best.label}: {optimum.objective.text}, {optimum.evaluated} settings tried>"


def _median(row: SettingSummary, name: str) -> float | None:
    spread = row.spread(name)
    return None if spread is None else float(spread.median)
