"""Progress of simulations and searches: a bar, or a few lines where there is no terminal."""

from collections.abc import Sequence
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, TextColumn, TimeRemainingColumn

from orchestrator.model.events import Event
from orchestrator.model.scorecard import Scorecard
from orchestrator.model.trial import Trial


class Bar:
    """A bar in a terminal; elsewhere `parts` lines, evenly spread over the steps. Use it as a context manager."""

    def __init__(self, console: Console, total: int, *columns: ProgressColumn, parts: int) -> None:
        self._console = console
        self._total = total
        self._every = max(1, total // parts)
        self._bar: Progress | None = None
        if console.is_terminal:
            self._bar = Progress(*columns, TimeRemainingColumn(), console=console, transient=True)
            self._task = self._bar.add_task("", total=total)

    def __enter__(self) -> Self:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def show(self, done: int, line: str, description: str = "") -> None:
        """Show how many steps are done: the description next to the bar, or the line."""
        if self._bar is not None:
            self._bar.update(self._task, completed=done, total=self._total, description=description)
        elif done == self._total or done % self._every == 0:
            self._console.print(line)


class CountingView(Bar):
    """Progress of simulated trials, and the reason of each that failed."""

    name = "the progress"

    def __init__(self, console: Console, trials: Sequence[Trial]) -> None:
        super().__init__(console, len(trials), TextColumn("simulated"), BarColumn(), MofNCompleteColumn(), parts=10)
        self._ended = 0

    def trial_started(self, number: int, total: int, trial: Trial) -> None:
        """Count the trials before this one, which an earlier run may have ended."""
        self._ended, self._total = number - 1, total

    def event(self, event: Event) -> None:
        """Ignore events: virtual time passes too fast to be watched."""

    def trial_ended(self, trial: Trial, scorecard: Scorecard | None, reason: str) -> None:
        """Count the trial, and say why it failed."""
        self._ended += 1
        if reason:
            self._console.print(f"{trial.label()}: failed: {reason}", style="red", soft_wrap=True)
        self.show(self._ended, f"{self._ended} of {self._total} trials simulated")


class SearchView(Bar):
    """Progress of a search, with the lowest objective so far."""

    def __init__(self, console: Console, candidates: int) -> None:
        columns = (BarColumn(), MofNCompleteColumn(), TextColumn("settings,"), TextColumn("{task.description}"))
        super().__init__(console, candidates, *columns, parts=4)

    def tell(self, tried: int, lowest: float | None) -> None:
        """Show how many settings are tried, and the lowest objective."""
        found = "none judged yet" if lowest is None else f"lowest objective {lowest:.5g}"
        self.show(tried, f"{tried} of {self._total} settings tried, {found}", found)
