"""Weighs the evidence of a sweep for a recommendation."""

from typing import TYPE_CHECKING

from orchestrator.errors import InputError
from orchestrator.lab.home import Home

if TYPE_CHECKING:
    from orchestrator.analysis.sweep.evidence import Evidence
    from orchestrator.sweeps.ledger import SweepRecord


def weigh_sweep(home: Home, wanted: str, objective: str) -> "tuple[Evidence, SweepRecord]":
    """Return the evidence of a sweep for an objective, and its record. Raises InputError, UnknownId for no sweep."""
    from orchestrator.analysis.sweep.evidence import weigh
    from orchestrator.analysis.sweep.objective import Objective
    from orchestrator.sweeps.ledger import results_of

    try:
        parsed = Objective.parse(objective)
    except ValueError as error:
        raise InputError(f"--objective {objective!r}: {error}") from None
    record, trial = home.ledger().find(wanted)
    if trial is not None:
        raise InputError(
            f"{wanted!r} is a trial: a setting is recommended among several", f"its sweep: {record.sweep_id}"
        )
    return weigh(results_of(record.trials), parsed), record
