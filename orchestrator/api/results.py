"""Sweeps and trials: settings, scorecards, traces, tables and figures."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from orchestrator.analysis.trial.node_lives import NodeLife, node_lives
from orchestrator.analysis.trial.waterfall import TimeSpent, Waterfall, time_spent, waterfalls
from orchestrator.errors import InputError
from orchestrator.lab.home import find_home
from orchestrator.model.events import TaskEvent
from orchestrator.model.scorecard import Scorecard
from orchestrator.model.settings import Settings
from orchestrator.report.export.frames import TraceFrames, has_trace, trace_frames, trials_frame
from orchestrator.sweeps.ledger import LAST, Ledger, SweepRecord, TrialRecord, results_of
from orchestrator.sweeps.runner import assumptions_of, prices_of
from orchestrator.trace.file import Trace, read_trace

if TYPE_CHECKING:
    import plotly.graph_objects as go
    import polars as pl

TrialPlot = Literal["overlay", "provisioning", "waterfall"]
SweepPlot = Literal["front", "cost"]


def load(wanted: str = LAST, *, home: str | Path | None = None, ledger: str | None = None) -> "Sweep":
    """Return the sweep with this id, by unique prefix, or `@last`. A trial's id gives its sweep with only this trial.

    `home` is the folder of the sweeps, by default `ORCHESTRATE_HOME` or `.orchestrate`. `ledger` is the SQLAlchemy URL
    of another ledger, by default `ORCHESTRATE_LEDGER` unless a home is given. The result doesn't change while a sweep
    continues: load it again. Raises InputError, and UnknownId if there is no such id.
    """
    found = find_home(home, ledger)
    if not found.ledger_url and not (found.root / "ledger.db").is_file():
        raise InputError(f"no sweeps are kept in {found.root}", "name another home, or run: orchestrate simulate")
    sweep, trial = Ledger(found.url).find(wanted)
    return Sweep(sweep, sweep.trials if trial is None else (trial,))


@dataclass(frozen=True, repr=False, eq=False)
class Trial:
    """One trial of a sweep: its settings, its scorecard (None until it has ended), and its trace, read at first use.

    `assumptions` are what its results rest on without the user having said so.
    """

    record: TrialRecord
    assumptions: Sequence[str] = ()

    @property
    def trial_id(self) -> str:
        """The trial's id."""
        return self.record.trial.trial_id

    @property
    def settings(self) -> Settings:
        """The autoscaler's settings."""
        return self.record.trial.settings

    @property
    def scorecard(self) -> Scorecard | None:
        """The trial's scorecard; None until it has ended."""
        return self.record.scorecard

    @cached_property
    def trace(self) -> Trace:
        """The trace; its `events` are typed. Raises InputError if there is none yet, SpecError if it is damaged."""
        if not has_trace(self.record):
            raise InputError(f"trial {self.trial_id} ({self.record.status}) has no trace: {self.record.trace or '-'}")
        return read_trace(Path(self.record.trace))

    @cached_property
    def nodes(self) -> tuple[NodeLife, ...]:
        """The lives of the worker nodes."""
        return tuple(node_lives(self.trace.events))

    @cached_property
    def waterfalls(self) -> tuple[Waterfall, ...]:
        """The time of each stage of each worker node, from the demand for it to its end."""
        tasks = [event for event in self.trace.events if isinstance(event, TaskEvent)]
        return tuple(waterfalls(self.record.trial, self.nodes, tasks))

    @property
    def time_spent(self) -> TimeSpent:
        """The time until launched nodes could run tasks, by its cause: autoscaler, cloud or install."""
        return time_spent(self.waterfalls)

    def plot(self, kind: TrialPlot = "overlay") -> "go.Figure":
        """Return a figure of the report.

        `overlay` shows pending tasks, nodes and CPUs in use, `provisioning` demand and supply, and `waterfall` the
        states of each node. Raises InputError.
        """
        from orchestrator.analysis.trial.series import series
        from orchestrator.report.document import trial_plots
        from orchestrator.report.notebook.figures import plotly_figure

        _check_kind(kind, get_args(TrialPlot))
        found = series(self.record.trial, self.trace.events)
        if found is None:
            raise InputError(f"trial {self.trial_id} recorded no task, so there is nothing to plot")
        return plotly_figure(getattr(trial_plots, kind)(found))

    def _repr_html_(self) -> str:
        from orchestrator.report.document.content import trial_facts
        from orchestrator.report.notebook.tables import facts_html

        facts = [*trial_facts(self.record), *(("assumption", each) for each in self.assumptions)]
        return facts_html(f"Trial {self.trial_id}: {self.record.trial.label()}", facts)

    def __str__(self) -> str:
        from orchestrator.report.terminal.output import as_text
        from orchestrator.report.terminal.tables import trial_tables

        return as_text(trial_tables(self.record, self.assumptions))

    def __repr__(self) -> str:
        card = self.scorecard
        makespan = f", makespan {card.makespan_s:.1f} s" if card and card.makespan_s is not None else ""
        doubtful = ", invalid" if card and not card.valid else ""
        return f"<Trial {self.trial_id} ({self.record.trial.label()}): {self.record.status}{makespan}{doubtful}>"


@dataclass(frozen=True, repr=False, eq=False)
class Sweep:
    """A sweep as the ledger had it when it was loaded; the frames are the tables that `orchestrate export` writes."""

    record: SweepRecord
    chosen: Sequence[TrialRecord]

    @property
    def sweep_id(self) -> str:
        """The sweep's id."""
        return self.record.sweep_id

    @property
    def assumptions(self) -> tuple[str, ...]:
        """Sentences that say what the results rest on without the user having said so, such as launch latencies."""
        return tuple(assumptions_of(self.record))

    @cached_property
    def trials(self) -> tuple[Trial, ...]:
        """The trials, in their order."""
        return tuple(Trial(record, self.assumptions) for record in self.chosen)

    @cached_property
    def frame(self) -> "pl.DataFrame":
        """A row for each trial: ids, settings, workload, status, and the scorecard flattened."""
        return trials_frame(self.chosen)

    @cached_property
    def _frames(self) -> TraceFrames:
        return trace_frames(self.chosen, prices_of(self.record))

    @property
    def nodes(self) -> "pl.DataFrame":
        """A row for each worker node: its waterfall and its cost."""
        return self._frames.nodes

    @property
    def tasks(self) -> "pl.DataFrame":
        """A row for tasks alike."""
        return self._frames.tasks

    @property
    def demand(self) -> "pl.DataFrame":
        """Demand by arch, step by step."""
        return self._frames.demand

    @property
    def supply(self) -> "pl.DataFrame":
        """Supply by arch, step by step."""
        return self._frames.supply

    @property
    def events(self) -> "pl.DataFrame":
        """A row for each scaling event."""
        return self._frames.events

    @property
    def faults(self) -> "pl.DataFrame":
        """A row for each fault on purpose, and what followed from it."""
        return self._frames.faults

    def plot(self, kind: SweepPlot = "front") -> "go.Figure":
        """Return a figure of the report: `front` shows makespan against cost, `cost` the cost by architecture.

        Raises InputError if no trial has the numbers for it.
        """
        from orchestrator.report.document.content import gather
        from orchestrator.report.document.sweep_plots import sweep_figures
        from orchestrator.report.notebook.figures import plotly_figure

        _check_kind(kind, get_args(SweepPlot))
        figures = dict(zip(("cost", "front"), sweep_figures(gather(self._chosen_record)), strict=False))
        if kind not in figures:
            raise InputError(f"sweep {self.sweep_id} has no valid trial to plot", "see why: print(sweep)")
        return plotly_figure(figures[kind])

    @property
    def _chosen_record(self) -> SweepRecord:
        return replace(self.record, trials=tuple(self.chosen))

    def _repr_html_(self) -> str:
        from orchestrator.analysis.sweep.evidence import weigh
        from orchestrator.analysis.sweep.summary import summarise
        from orchestrator.report.document.grids import settings_grid
        from orchestrator.report.notebook.tables import grid_html

        summary = summarise((each.trial.settings, each.scorecard) for each in self.chosen)
        told = [*(f"assumption: {each}" for each in self.assumptions), *self.record.notes]
        return grid_html(repr(self).strip("<>"), settings_grid(weigh(results_of(self.chosen)), summary), told)

    def __str__(self) -> str:
        from orchestrator.report.terminal.output import as_text
        from orchestrator.report.terminal.tables import sweep_table

        return as_text(sweep_table(self._chosen_record))

    def __repr__(self) -> str:
        valid = sum(1 for record in self.chosen if record.scorecard is not None and record.scorecard.valid)
        name = f" {self.record.name!r}" if self.record.name else ""
        trials = f"{len(self.chosen)} trial{'' if len(self.chosen) == 1 else 's'}"
        return f"<Sweep {self.sweep_id}{name} ({self.record.backend}): {self.record.status}, {trials}, {valid} valid>"


def _check_kind(kind: str, known: tuple[str, ...]) -> None:
    if kind not in known:
        raise InputError(f"there is no plot {kind!r}", f"choose one of {', '.join(known)}")
