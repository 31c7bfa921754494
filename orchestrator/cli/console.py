"""Consoles, and JSON output to stdout or to a file."""

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator.errors import InputError

if TYPE_CHECKING:
    from rich.console import Console

    from orchestrator.report.terminal.reporter import TerminalReporter


def console(*, stderr: bool = False) -> "Console":
    """Return a console on stdout or stderr."""
    from orchestrator.report.terminal.output import console

    return console(stderr=stderr)


def reporter() -> "TerminalReporter":
    """Return a reporter that shows progress and notes on stderr: they aren't data."""
    from orchestrator.report.terminal.reporter import TerminalReporter

    return TerminalReporter(console(stderr=True))


def is_terminal() -> bool:
    """Return true if somebody can read a question here, and answer it."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def print_json(document: Any) -> None:
    """Write a JSON document to stdout."""
    print(json.dumps(document, indent=2, allow_nan=False))


def check_json_target(target: str) -> None:
    """Raise InputError now, and not after a sweep, if `write_json` couldn't write to `target`."""
    path = Path(target)
    if target != "-" and (path.is_dir() or not os.access(path if path.exists() else path.absolute().parent, os.W_OK)):
        raise InputError(f"--json: {target} can't be written", "name a file in a folder that exists, or - for stdout")


def write_json(target: str, document: Any) -> None:
    """Write a JSON document to a file, or to stdout for `-`. Raises InputError."""
    if target == "-":
        print_json(document)
        return
    try:
        Path(target).write_text(json.dumps(document, indent=2, allow_nan=False) + "\n")
    except OSError as error:
        raise InputError(f"--json: {target} can't be written: {error.strerror}") from None
