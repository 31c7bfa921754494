"""The interface of the parts that follow a running sweep."""

from typing import Protocol

from orchestrator.model.events import Event
from orchestrator.model.scorecard import Scorecard
from orchestrator.model.trial import Trial


class Watcher(Protocol):
    """A receiver of each step as it happens, such as the live view and the metrics. It must not raise or take long."""

    def trial_started(self, number: int, total: int, trial: Trial) -> None:
        """Handle the start of trial `number` of `total`."""
        ...

    def event(self, event: Event) -> None:
        """Handle a new event in the running trial's trace."""
        ...

    def trial_ended(self, trial: Trial, scorecard: Scorecard | None, reason: str) -> None:
        """Handle the end of the trial. `reason` says why it failed; else it is empty."""
        ...
