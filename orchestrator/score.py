"""The scorecard of a trial, computed from its events."""

from orchestrator.analysis.trial.score import score
from orchestrator.model.scorecard import Scorecard

__all__ = ["Scorecard", "score"]
