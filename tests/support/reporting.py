"""A reporter that keeps what it prints."""

import io

from rich.console import Console

from orchestrator.report.terminal.reporter import TerminalReporter


class KeptReport(TerminalReporter):
    """The reporter of the command line without a terminal; `text` is all that it has printed."""

    def __init__(self) -> None:
        self._file = io.StringIO()
        super().__init__(Console(file=self._file, width=200, markup=False, highlight=False))

    @property
    def text(self) -> str:
        """Return what was printed so far."""
        return self._file.getvalue()
