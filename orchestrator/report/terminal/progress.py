"""Progress of trials that take moments: how many are done, and what each showed."""

from collections.abc import Sequence
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from orchestrator.model.events import Event
from orchestrator.model.scorecard import Scorecard
from orchestrator.model.trial import Trial


class CountingView:
    """A bar in a terminal; elsewhere a line for each tenth of the trials. What failed is always said."""

    name = "the progress"

    def __init__(self, console: Console, trials: Sequence[Trial]) -> None:
        self._console = console
        self._total = len(trials)
        self._ended = 0
        self._bar: Progress | None = None
        if console.is_terminal:
            columns = (TextColumn("simulated"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
            self._bar = Progress(*columns, console=console, transient=True)
            self._task = self._bar.add_task("", total=self._total)

    def __enter__(self) -> Self:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def trial_started(self, number: int, total: int, trial: Trial) -> None:
        """A trial begins."""
        self._ended = number - 1

    def event(self, event: Event) -> None:
        """Virtual time passes too fast to be watched."""

    def trial_ended(self, trial: Trial, scorecard: Scorecard | None, reason: str) -> None:
        """A trial has ended."""
        self._ended += 1
        if reason:
            self._console.print(f"{trial.label()}: failed: {reason}", style="red", soft_wrap=True)
        if self._bar is not None:
            self._bar.update(self._task, completed=self._ended)
        elif self._ended == self._total or self._ended % max(1, self._total // 10) == 0:
            self._console.print(f"{self._ended} of {self._total} trials simulated")
