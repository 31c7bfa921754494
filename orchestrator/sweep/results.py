"""The trials of the ledger, as the analysis takes them."""

from collections.abc import Iterable

from orchestrator.analysis.sweep.evidence import Result
from orchestrator.sweep.ledger import TrialRecord


def results_of(trials: Iterable[TrialRecord]) -> list[Result]:
    """Trials in their order as results. One that failed has a scorecard too, which is invalid."""
    return [
        Result(each.trial.settings, each.trial.repeat, each.trial.seed, each.trial.trial_id, each.scorecard)
        for each in trials
    ]
