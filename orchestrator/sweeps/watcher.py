"""The interface of the parts that follow a running sweep."""

import logging
from collections.abc import Callable
from typing import Protocol

from orchestrator.logs import FILE_NAME
from orchestrator.model.events import Event
from orchestrator.model.scorecard import Scorecard
from orchestrator.model.trial import Trial

_MAX_MESSAGE = 200

_log = logging.getLogger(__name__)


class Watcher(Protocol):
    """A receiver of each step as it happens, such as the live view and the metrics. It must not take long.

    A watcher that raises is logged and asked no more; a line of the sweep's result says so, by its `name`.
    """

    name: str

    def trial_started(self, number: int, total: int, trial: Trial) -> None:
        """Handle the start of trial `number` of `total`."""
        ...

    def event(self, event: Event) -> None:
        """Handle a new event in the running trial's trace."""
        ...

    def trial_ended(self, trial: Trial, scorecard: Scorecard | None, reason: str) -> None:
        """Handle the end of the trial. `reason` says why it failed; else it is empty."""
        ...


class GuardedWatcher:
    """Passes each step on to a watcher until it raises; `stopped` is then a line for the user, else empty."""

    def __init__(self, watcher: Watcher) -> None:
        self.stopped = ""
        self._watcher = watcher

    @property
    def name(self) -> str:
        """See `Watcher`."""
        return self._watcher.name

    def trial_started(self, number: int, total: int, trial: Trial) -> None:
        """See `Watcher`."""
        self._pass_on(lambda: self._watcher.trial_started(number, total, trial))

    def event(self, event: Event) -> None:
        """See `Watcher`."""
        self._pass_on(lambda: self._watcher.event(event))

    def trial_ended(self, trial: Trial, scorecard: Scorecard | None, reason: str) -> None:
        """See `Watcher`."""
        self._pass_on(lambda: self._watcher.trial_ended(trial, scorecard, reason))

    def _pass_on(self, step: Callable[[], None]) -> None:
        if self.stopped:
            return
        try:
            step()
        except Exception as error:  # nothing that only watches may fail a trial
            said = " ".join(f"{type(error).__name__}: {error}".split())[:_MAX_MESSAGE]
            self.stopped = f"{self.name} stopped after an error: {said}; see {FILE_NAME}"
            _log.exception("%s stopped after an error", self.name)
