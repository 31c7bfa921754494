"""The home folder and the ledger in it."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.errors import InputError
from orchestrator.filesystem import is_file
from orchestrator.logs import hide
from orchestrator.private_files import check_private_folder
from orchestrator.sqlite_files import sqlite_url

if TYPE_CHECKING:
    from orchestrator.optimiser.storage import SearchStore
    from orchestrator.sweeps.ledger import Ledger

_FOLDERS = ("sweeps", "clusters", "observed", "stack")


@dataclass(frozen=True)
class Home:
    """The folder that holds sweeps, traces and the ledger.

    `root` is absolute, without symbolic links. `ledger_url` is empty for the default ledger, a SQLite file under the
    root. `named` is the path as the user gave it, which may be a link that somebody else made.
    """

    root: Path
    ledger_url: str
    named: Path | None = None

    def ledger(self) -> "Ledger":
        """Return the ledger; its folder is made if needed. Raises InputError."""
        from orchestrator.sweeps.ledger import Ledger

        self.make()
        hide(self.ledger_url)
        return Ledger(self.url)

    @property
    def searches(self) -> "SearchStore":
        """The searches of this home."""
        from orchestrator.optimiser.storage import SearchStore

        return SearchStore(self.root / "searches.db")

    @property
    def url(self) -> str:
        """The SQLAlchemy URL of the ledger."""
        return self.ledger_url or sqlite_url(self.root / "ledger.db")

    def trace_files(self, source: str) -> list[Path]:
        """Return the traces of an id of the ledger, or of a path: those of trials that have begun. Raises UnknownId."""
        return self.recordings(source)[0]

    def recordings(self, source: str) -> tuple[list[Path], list[str]]:
        """Return the same traces, and the assumptions of their sweep; a path alone names none. Raises UnknownId."""
        from orchestrator.sweeps.runner import assumptions_of

        if is_file(source):
            return [Path(source)], []
        sweep, trial = self.ledger().find(source)
        records = sweep.trials if trial is None else (trial,)
        return [Path(record.trace) for record in records if record.trace], assumptions_of(sweep)

    def check(self) -> None:
        """Raise InputError if another user owns the home or a folder in it, or can write to it."""
        check_private_folder(self.named or self.root, "the home")
        for name in _FOLDERS:
            check_private_folder(self.root / name, f"the folder of {name}")

    def make(self) -> None:
        """Make the home folder, readable by this user only. Raises InputError."""
        self.check()
        try:
            os.fsencode(self.root).decode()
        except UnicodeDecodeError:
            raise InputError(f"the home {self.root!r} isn't valid UTF-8", "choose another with --home") from None
        try:
            self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise InputError(
                f"the home {self.root} can't be made: {error.strerror}", "choose another with --home"
            ) from None


def find_home(folder: str | Path | None = None, ledger_url: str | None = None) -> Home:
    """Return the home of a caller who may name none: `ORCHESTRATE_HOME`, or `.orchestrate`.

    The ledger is `ledger_url`; without one it is `ORCHESTRATE_LEDGER`, unless a folder is given.
    """
    named = Path(folder or os.environ.get("ORCHESTRATE_HOME") or ".orchestrate")
    url = ledger_url or (os.environ.get("ORCHESTRATE_LEDGER") if folder is None else None)
    return Home(named.resolve(), url or "", named)
