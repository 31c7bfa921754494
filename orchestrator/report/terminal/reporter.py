"""Progress and notes in a terminal; where there is none, plain lines."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager

from rich.console import Console

from orchestrator.model.trial import Trial
from orchestrator.report.terminal.live_view import LiveView
from orchestrator.report.terminal.progress import CountingView, SearchView


class TerminalReporter:
    """Implements `orchestrator.lab.progress.Reporter` on a console."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def say(self, line: str) -> None:
        """Print one line. It isn't wrapped, so that addresses and paths can be copied."""
        self._console.print(line, soft_wrap=True)

    @contextmanager
    def working(self, text: str) -> Iterator[Callable[[str], None]]:
        """Show a spinner with a text; without a terminal, nothing."""
        with self._console.status(text) as status:
            yield status.update

    @contextmanager
    def steps(self) -> Iterator[Callable[[str, str], None]]:
        """Show a spinner with step and detail; without a terminal, print a line for each step."""
        if self._console.is_terminal:
            with self._console.status("") as spinner:
                yield lambda step, detail: spinner.update(f"{step}: {detail}" if detail else step)
            return
        printed = ""

        def show(step: str, _detail: str) -> None:
            nonlocal printed
            if step != printed:
                self._console.print(step)
            printed = step

        yield show

    def running(self, trials: Sequence[Trial], *, real_time: bool) -> AbstractContextManager[LiveView | CountingView]:
        """Show nodes and events of each trial; for simulated ones, which take moments, count them."""
        return LiveView(self._console, list(trials)) if real_time else CountingView(self._console, trials)

    @contextmanager
    def searching(self, candidates: int) -> Iterator[Callable[[int, float | None], None]]:
        """Show the number of settings tried and the lowest objective so far."""
        with SearchView(self._console, candidates) as view:
            yield view.tell
