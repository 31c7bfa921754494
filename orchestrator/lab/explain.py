"""Reads a trial of the ledger for an explanation of its launches."""

from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.errors import InputError
from orchestrator.filesystem import is_file
from orchestrator.lab.home import Home

if TYPE_CHECKING:
    from orchestrator.model.trial import Trial
    from orchestrator.trace.file import Trace


def recorded_trial(home: Home, wanted: str) -> "tuple[Trial, Trace, list[str]]":
    """Return a trial, its trace and its assumptions, by the trial's id or the trace's path.

    The id of a sweep stands for its only trial. A trace alone names no assumptions. Raises InputError and UnknownId.
    """
    from orchestrator.sweeps.runner import assumptions_of
    from orchestrator.trace.file import read_trace

    if is_file(wanted):
        trace = read_trace(Path(wanted))
        if trace.trial is None:
            raise InputError(f"{wanted} holds no trial: a cluster was only observed", "explain a trial of a sweep")
        return trace.trial, trace, []
    sweep, record = home.ledger().find(wanted)
    if record is None:
        if len(sweep.trials) != 1:
            raise InputError(
                f"{wanted!r} is a sweep of {len(sweep.trials)} trials", f"name one: orchestrate show {sweep.sweep_id}"
            )
        (record,) = sweep.trials
    if not record.trace:
        raise InputError(
            f"trial {record.trial.trial_id} hasn't recorded anything yet", "list all sweeps: orchestrate list"
        )
    return record.trial, read_trace(Path(record.trace)), assumptions_of(sweep)
