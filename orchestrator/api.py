"""Sweeps for Python: `orchestrator.load` gives a sweep's trials, their traces and the tables of `export`."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.analysis.trial.node_lives import NodeLife, node_lives
from orchestrator.analysis.trial.waterfall import TimeSpent, Waterfall, time_spent, waterfalls
from orchestrator.errors import InputError
from orchestrator.model.events import TaskEvent
from orchestrator.model.scorecard import Scorecard
from orchestrator.model.settings import Settings
from orchestrator.report.export.frames import TraceFrames, has_trace, trace_frames, trials_frame
from orchestrator.sweeps.ledger import LAST, Ledger, SweepRecord, TrialRecord
from orchestrator.sweeps.runner import prices_of
from orchestrator.trace.file import Trace, read_trace

if TYPE_CHECKING:
    import polars as pl


def load(wanted: str = LAST, *, home: str | Path | None = None, ledger: str | None = None) -> "Sweep":
    """The sweep with this id, by unique prefix, or `@last`; the id of a trial gives its sweep with this trial only.

    `home` is where sweeps are kept: by default the environment's `ORCHESTRATE_HOME`, or `.orchestrate`. `ledger` is the
    SQLAlchemy URL of a ledger elsewhere: by default `ORCHESTRATE_LEDGER`, unless a home is given. What is loaded stays
    as it is while a sweep runs on: load it again. Raises InputError, and UnknownId if there is no such id.
    """
    folder = Path(home or os.environ.get("ORCHESTRATE_HOME") or ".orchestrate").resolve()
    url = ledger or (os.environ.get("ORCHESTRATE_LEDGER") if home is None else None)
    if not url:
        if not (folder / "ledger.db").is_file():
            raise InputError(f"no sweeps are kept in {folder}", "name another home, or run: orchestrate simulate")
        url = f"sqlite:///{folder / 'ledger.db'}"
    sweep, trial = Ledger(url).find(wanted)
    return Sweep(sweep, sweep.trials if trial is None else (trial,))


@dataclass(frozen=True, repr=False, eq=False)
class Trial:
    """One trial of a sweep: its settings, its scorecard (None until it has ended), and its trace, read at first use."""

    record: TrialRecord

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
        """What it showed."""
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
        """When each worker node was queued for, requested, allocated, and so on to its end."""
        tasks = [event for event in self.trace.events if isinstance(event, TaskEvent)]
        return tuple(waterfalls(self.record.trial, self.nodes, tasks))

    @property
    def time_spent(self) -> TimeSpent:
        """Where the time went until the launched nodes could run tasks: autoscaler, cloud or install."""
        return time_spent(self.waterfalls)

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

    @cached_property
    def trials(self) -> tuple[Trial, ...]:
        """The trials, in their order."""
        return tuple(Trial(record) for record in self.chosen)

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

    def __repr__(self) -> str:
        valid = sum(1 for record in self.chosen if record.scorecard is not None and record.scorecard.valid)
        name = f" {self.record.name!r}" if self.record.name else ""
        trials = f"{len(self.chosen)} trial{'' if len(self.chosen) == 1 else 's'}"
        return f"<Sweep {self.sweep_id}{name} ({self.record.backend}): {self.record.status}, {trials}, {valid} valid>"
