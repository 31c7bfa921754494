"""The interface through which operations report progress, and an implementation that shows nothing."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

from orchestrator.model.events import Event
from orchestrator.model.scorecard import Scorecard
from orchestrator.model.trial import Trial
from orchestrator.sweeps.watcher import Watcher


class Reporter(Protocol):
    """Shows progress and notes to the user: in a terminal, in a notebook, or nowhere."""

    def say(self, line: str) -> None:
        """Show one line of text."""
        ...

    def working(self, text: str) -> AbstractContextManager[Callable[[str], None]]:
        """Show that something is in progress. The function that is returned replaces the text."""
        ...

    def steps(self) -> AbstractContextManager[Callable[[str, str], None]]:
        """Show an operation of several steps. The function that is returned takes a step and its newest detail."""
        ...

    def running(self, trials: Sequence[Trial], *, real_time: bool) -> AbstractContextManager[Watcher]:
        """Show how these trials of a sweep, all that are to run, proceed."""
        ...

    def searching(self, candidates: int) -> AbstractContextManager[Callable[[int, float | None], None]]:
        """Show how a search proceeds. The function takes the settings tried so far and the lowest objective."""
        ...


class SilentReporter:
    """A `Reporter` that shows nothing."""

    def say(self, line: str) -> None:
        """See `Reporter`."""

    @contextmanager
    def working(self, text: str) -> Iterator[Callable[[str], None]]:
        """See `Reporter`."""
        yield lambda _text: None

    @contextmanager
    def steps(self) -> Iterator[Callable[[str, str], None]]:
        """See `Reporter`."""
        yield lambda _step, _detail: None

    @contextmanager
    def running(self, trials: Sequence[Trial], *, real_time: bool) -> Iterator[Watcher]:
        """See `Reporter`."""
        yield SilentWatcher()

    @contextmanager
    def searching(self, candidates: int) -> Iterator[Callable[[int, float | None], None]]:
        """See `Reporter`."""
        yield lambda _tried, _lowest: None


class SilentWatcher:
    """A `Watcher` that shows nothing."""

    name = "no view"

    def trial_started(self, number: int, total: int, trial: Trial) -> None:
        """See `Watcher`."""

    def event(self, event: Event) -> None:
        """See `Watcher`."""

    def trial_ended(self, trial: Trial, scorecard: Scorecard | None, reason: str) -> None:
        """See `Watcher`."""
