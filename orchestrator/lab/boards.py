"""Finds trials in the ledger for the board that compares them."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.errors import InputError, MissingPrerequisite
from orchestrator.lab.home import Home

if TYPE_CHECKING:
    from orchestrator.grafana.boards.compare import ComparedTrial
    from orchestrator.sweeps.ledger import SweepRecord, TrialRecord


def address_of_comparison(home: Home, wanted: Sequence[str], grafana: str | None) -> str:
    """Return the address of the board with these trials on it, by default in the stack's Grafana. Raises InputError."""
    from orchestrator.grafana.boards.compare import address

    chosen = [compared for each in wanted for compared in _compared(home, each)]
    try:
        return address(grafana or _grafana_of_stack(home), chosen)
    except ValueError as error:
        raise InputError(str(error), "list the trials of a sweep: orchestrate show SWEEP") from None


def _grafana_of_stack(home: Home) -> str:
    from orchestrator.stack.stack import Stack

    found = Stack(home.root).status().url("grafana")
    if found is None:
        raise MissingPrerequisite(
            "no Grafana of the stack runs here", "start it: orchestrate stack up; or name one of yours with --url"
        )
    return found


def _compared(home: Home, wanted: str) -> "list[ComparedTrial]":
    record, trial = home.ledger().find(wanted)
    return [_to_compare(home, record, each) for each in ([trial] if trial is not None else record.trials)]


def _to_compare(home: Home, record: "SweepRecord", trial: "TrialRecord") -> "ComparedTrial":
    from orchestrator.analysis.trial.window import submission
    from orchestrator.backends import registry
    from orchestrator.grafana.boards.compare import ComparedTrial
    from orchestrator.prometheus.placement import Placement
    from orchestrator.trace.file import read_trace

    trial_id = trial.trial.trial_id
    events = read_trace(Path(trial.trace)).events if trial.trace else ()
    start = submission(events)
    if start is None:
        raise InputError(f"trial {trial_id} hasn't recorded anything yet")
    moved = Placement.read(home.root, record.sweep_id).moved_by
    if not registry.real_time(record.backend) and trial_id not in moved:
        raise InputError(
            f"trial {trial_id} is simulated, and Prometheus hasn't seen it",
            f"first: orchestrate push {record.sweep_id}",
        )
    return ComparedTrial(record.sweep_id, trial_id, events[-1].t - start)
