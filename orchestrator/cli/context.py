"""What all commands share: the home folder, the ledger, the consoles."""

import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator.errors import InputError

if TYPE_CHECKING:
    from rich.console import Console

    from orchestrator.sweep.ledger import Ledger

_WIDTH_WITHOUT_TERMINAL = 160


@dataclass(frozen=True)
class Context:
    """The home folder (absolute), and the ledger's URL if it isn't the default."""

    home: Path
    ledger_url: str

    def ledger(self) -> "Ledger":
        """The ledger; its folder is made if needed. Raises InputError."""
        from orchestrator.sweep.ledger import Ledger

        self.make_home()
        return Ledger(self.ledger_url or f"sqlite:///{self.home / 'ledger.db'}")

    def trace_files(self, source: str) -> list[Path]:
        """The traces that an id of the ledger, or a path, means: those of trials that have begun. Raises UnknownId."""
        if Path(source).is_file():
            return [Path(source)]
        sweep, trial = self.ledger().find(source)
        records = sweep.trials if trial is None else (trial,)
        return [Path(record.trace) for record in records if record.trace]

    def make_home(self) -> None:
        """Make the home folder, readable by this user only. Raises InputError."""
        try:
            self.home.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise InputError(
                f"the home {self.home} can't be made: {error.strerror}", "choose another with --home"
            ) from None


def console(*, stderr: bool = False) -> "Console":
    """A console that is wide enough for the tables where there is no terminal to ask."""
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() else _WIDTH_WITHOUT_TERMINAL
    return Console(stderr=stderr, width=width, markup=False, highlight=False)


def print_json(document: Any) -> None:
    """Write a JSON document to stdout."""
    print(json.dumps(document, indent=2, allow_nan=False))


def check_json_target(target: str) -> None:
    """Raises InputError now, and not after a sweep, if `write_json` couldn't write to `target`."""
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
