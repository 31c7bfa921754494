"""Progress and notes in a Jupyter notebook."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from html import escape

from orchestrator.model.events import Event, PhaseEvent
from orchestrator.model.scorecard import Scorecard
from orchestrator.model.trial import Trial

Show = Callable[[str], Callable[[str], None]]
"""Shows HTML in a cell's output. The function that is returned replaces it."""


def in_notebook() -> bool:
    """Return True if this process is the kernel of a notebook."""
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    return shell is not None and hasattr(shell, "kernel")


def show_html(html: str) -> Callable[[str], None]:
    """Show HTML below the running cell."""
    from IPython.display import HTML, display

    handle = display(HTML(html), display_id=True)
    return lambda newer: handle.update(HTML(newer))


class NotebookReporter:
    """Implements `orchestrator.lab.progress.Reporter` in the output of a cell."""

    def __init__(self, show: Show = show_html) -> None:
        self._show = show

    def say(self, line: str) -> None:
        """Print one line."""
        print(line)

    @contextmanager
    def working(self, text: str) -> Iterator[Callable[[str], None]]:
        """Show a text while something is in progress, and nothing afterwards."""
        replace = self._show(_line(text))
        try:
            yield lambda newer: replace(_line(newer))
        finally:
            replace("")

    @contextmanager
    def steps(self) -> Iterator[Callable[[str, str], None]]:
        """Show the newest step and its detail."""
        with self.working("") as update:
            yield lambda step, detail: update(f"{step}: {detail}" if detail else step)

    @contextmanager
    def running(self, trials: Sequence[Trial], *, real_time: bool) -> "Iterator[TrialsBar]":
        """Show a bar of the trials, and in real time the phase of the trial that runs."""
        bar = TrialsBar(self._show, len(trials), with_phases=real_time)
        yield bar
        bar.end()

    @contextmanager
    def searching(self, candidates: int) -> Iterator[Callable[[int, float | None], None]]:
        """Show a bar of the settings that were tried, and the lowest objective."""
        replace = self._show(_bar(0, candidates, "settings"))

        def tell(tried: int, lowest: float | None) -> None:
            found = "none judged yet" if lowest is None else f"lowest objective {lowest:.5g}"
            replace(_bar(tried, candidates, f"settings, {found}"))

        yield tell


class TrialsBar:
    """A `Watcher` that shows a bar; the reasons of failed trials stay below it."""

    name = "the progress bar"

    def __init__(self, show: Show, total: int, *, with_phases: bool) -> None:
        self._total = total
        self._with_phases = with_phases
        self._ended = 0
        self._current = ""
        self._phase = ""
        self._failures: list[str] = []
        self._replace = show(self._html())

    def trial_started(self, number: int, total: int, trial: Trial) -> None:
        """Show the trial that begins; those before it have ended."""
        self._ended, self._total, self._current, self._phase = number - 1, total, trial.label(), ""
        self._replace(self._html())

    def event(self, event: Event) -> None:
        """Show a new phase."""
        if self._with_phases and isinstance(event, PhaseEvent) and event.phase != self._phase:
            self._phase = event.phase
            self._replace(self._html())

    def trial_ended(self, trial: Trial, scorecard: Scorecard | None, reason: str) -> None:
        """Count the trial; keep the reason if it failed."""
        self._ended += 1
        if reason:
            self._failures.append(f"{trial.label()}: failed: {reason}")
        self._replace(self._html())

    def end(self) -> None:
        """Show the final count."""
        self._current = ""
        self._replace(self._html())

    def _html(self) -> str:
        now = f": {self._current}" if self._current else ""
        phase = f", {self._phase.replace('_', ' ')}" if self._phase and self._current else ""
        return _bar(self._ended, self._total, f"trials{now}{phase}") + "".join(map(_line, self._failures))


def _bar(done: int, total: int, text: str) -> str:
    return f'<div><progress value="{done}" max="{total}"></progress> {done} of {total} {escape(text)}</div>'


def _line(text: str) -> str:
    return f"<div>{escape(text)}</div>"
