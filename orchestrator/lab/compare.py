"""Finds the two sides of a comparison in the ledger."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from orchestrator.errors import InputError
from orchestrator.lab.home import Home

if TYPE_CHECKING:
    from orchestrator.analysis.sweep.comparison import Side


def find_side(home: Home, wanted: str, settings: Mapping[str, Any], suffix: str = "") -> "Side":
    """Return a sweep or trial, restricted to the settings with these values, as a side. Raises InputError.

    `suffix` follows the name of the sweep in the side's name.
    """
    from orchestrator.analysis.sweep.comparison import Side
    from orchestrator.sweeps.ledger import results_of
    from orchestrator.sweeps.runner import assumptions_of

    record, trial = home.ledger().find(wanted)
    ray = record.environment.get("ray")
    name = f"{record.name or record.sweep_id}{suffix} ({record.backend}{f', Ray {ray}' if ray else ''})"
    results = results_of(record.trials if trial is None else [trial])
    try:
        return Side.of(name, results, settings, assumptions_of(record))
    except ValueError as error:
        raise InputError(str(error)) from None
