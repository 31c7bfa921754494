"""`orchestrate` called in this process."""

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from orchestrator.cli import main


@contextmanager
def signal_handlers_kept() -> Iterator[None]:
    """Restore the signal handlers at the end: `main` installs its own."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [signal.getsignal(number) for number in numbers]
    yield
    for number, handler in zip(numbers, before, strict=True):
        signal.signal(number, handler)


class Run:
    """Returns exit code, stdout and stderr of `orchestrate` with these arguments."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._monkeypatch = monkeypatch
        self._capsys = capsys

    def __call__(self, *arguments: str) -> tuple[int, str, str]:
        self._monkeypatch.setattr(sys, "argv", ["orchestrate", *arguments])
        with signal_handlers_kept(), pytest.raises(SystemExit) as ended:
            main()
        said = self._capsys.readouterr()
        return int(ended.value.code or 0), said.out, said.err
