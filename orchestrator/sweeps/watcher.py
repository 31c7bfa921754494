"""The interface of everything that follows a sweep while it runs."""

from typing import Protocol

from orchestrator.model.events import Event
from orchestrator.model.scorecard import Scorecard
from orchestrator.model.trial import Trial


class Watcher(Protocol):
    """Told of each step as it happens: the live view, the metrics. It must not raise, nor take long."""

    def trial_started(self, number: int, total: int, trial: Trial) -> None:
        """Trial `number` of `total` begins."""
        ...

    def event(self, event: Event) -> None:
        """The running trial's trace has a new event."""
        ...

    def trial_ended(self, trial: Trial, scorecard: Scorecard | None, reason: str) -> None:
        """The trial has ended; `reason` says why it failed, else it is empty."""
        ...
