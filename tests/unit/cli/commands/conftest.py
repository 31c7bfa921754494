"""The command line in this process, in a folder and with a home of its own."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.command_line import Run, signal_handlers_kept


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Run]:
    """Calls `orchestrate` with the home `tmp_path/.orchestrate`."""
    monkeypatch.chdir(tmp_path)
    with signal_handlers_kept():
        yield Run(monkeypatch, capsys)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """The home of `run`."""
    return tmp_path / ".orchestrate"
