"""The most that the machines of a sweep may cost: which trial may still begin."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from orchestrator.model.billing import Bill
from orchestrator.model.trial import Trial


@dataclass
class Budget:
    """A limit in dollars for one run of a sweep. `expected` is the predicted cost of each trial by its id.

    A trial that cost more than predicted raises the expectation of the others by the same factor.
    """

    max_usd: float
    expected: Mapping[str, float]
    ending_usd: float = 0.0
    _factor: float = field(init=False, default=1.0)
    _before: float = field(init=False, default=0.0)

    def refusal(self, trial: Trial, bill: Bill) -> str | None:
        """Return why a trial may not begin after `bill` was spent; None if it may."""
        expected = self.expected.get(trial.trial_id, 0.0) * self._factor
        if bill.usd + expected + self.ending_usd <= self.max_usd:
            return None
        return (
            f"the next trial is expected to cost ${expected:.2f}, which could cross the limit of ${self.max_usd:.2f}:"
            f" ${bill.usd:.2f} are spent"
        )

    def begin(self, bill: Bill) -> None:
        """Note that a trial begins."""
        self._before = bill.usd

    def end(self, trial: Trial, bill: Bill) -> None:
        """Note what a trial has cost."""
        expected, cost = self.expected.get(trial.trial_id, 0.0), bill.usd - self._before
        if expected > 0:
            self._factor = max(self._factor, cost / expected)
