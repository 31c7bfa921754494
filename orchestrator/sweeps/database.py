"""The database of the ledger: opened, waited for while it is locked, and read where it can't be written."""

import logging
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, MetaData, create_engine, event, inspect
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, IntegrityError, OperationalError, ProgrammingError, SQLAlchemyError
from sqlalchemy.orm import Session

from orchestrator.errors import InputError, MissingPrerequisite, OrchestrateError
from orchestrator.sqlite_files import is_read_only, read_only_uri

_log = logging.getLogger(__name__)

LOCKED_S = 30.0
"""The longest wait for a database that another program has locked."""
# SQLite's own waits can't be interrupted by Ctrl-C.
_ONE_WAIT_MS = 500
# After one long wait in vain, a program that ends anyway doesn't begin another.
_SHORT_WAIT_S = 1.0
_MOMENT_S = 2.0

_WRITES = "orchestrate_writes"
_FORM = "for example sqlite:////home/me/ledger.db or postgresql+psycopg://USER:PASSWORD@HOST/DATABASE"


class Database:
    """The database at an SQLAlchemy URL; `place` names it without secrets. Raises InputError if it isn't one."""

    def __init__(self, url: str, *, wait_s: float = LOCKED_S) -> None:
        self._wait_s = wait_s
        self.on_long_wait: Callable[[float], object] = lambda limit_s: None
        """Called once for each lock that takes longer than a moment, with the longest wait in seconds."""
        self._open = ExitStack()  # a read-only database may be read from a copy
        try:
            made = make_url(url)
        except (ArgumentError, ValueError):
            # Not quoted: where a password stands in it is anybody's guess.
            raise InputError("the ledger can't be opened: --ledger is not a database URL", _FORM) from None
        self.place = place_of(url)
        try:
            file = _file(made.database or "") if made.get_backend_name() == "sqlite" else None
            self.read_only = file is not None and is_read_only(file)
            if self.read_only and file is not None:
                uri = self._open.enter_context(read_only_uri(file))
                self._engine = create_engine(
                    "sqlite://", creator=lambda: sqlite3.connect(uri, uri=True, check_same_thread=False)
                )
            else:
                self._engine = create_engine(url)
        except ImportError as error:
            problem = f"the ledger {self.place} needs a driver: {_cause(error)}"
            raise InputError(problem, "for PostgreSQL: pip install 'ray-orchestrate[postgres]'") from None
        except (SQLAlchemyError, ValueError, OSError) as error:
            raise self._unopened(error) from None
        if self._engine.dialect.name == "sqlite":
            event.listen(self._engine, "connect", self._connect_to_sqlite)
            event.listen(self._engine, "begin", self._begin_in_sqlite)

    def prepare(self, tables: MetaData, check: Callable[[Session], None], first_row: Any) -> None:
        """Create missing tables, once, however many commands are the first; `check` raises InputError for the rest.

        `first_row` is added to the tables of a new database.
        """
        versioned = type(first_row).__tablename__
        try:
            with self._engine.connect() as connection:
                existing = set(inspect(connection).get_table_names())
            if not self.read_only and not tables.tables.keys() <= existing:
                self._create(tables, first_row)
            if versioned in existing or not self.read_only:
                with Session(self._engine) as session:
                    check(session)
        except (SQLAlchemyError, ValueError, OSError) as error:
            raise self._unopened(error) from None

    def _create(self, tables: MetaData, first_row: Any) -> None:
        for attempt in (1, 2):
            try:
                with self._engine.connect().execution_options(**{_WRITES: True}) as connection, connection.begin():
                    tables.create_all(connection)
                    with Session(connection) as session:
                        if not session.query(type(first_row)).count():
                            session.add(first_row)
                            session.flush()
                return
            except (IntegrityError, ProgrammingError):
                if attempt == 2:
                    raise
                _log.info("another command creates the tables at the same time", exc_info=True)

    @contextmanager
    def session(self, *, writes: bool = False) -> Iterator[Session]:
        """Give a session, and commit at the end. Raises InputError, or MissingPrerequisite for a locked database."""
        if writes and self.read_only:
            raise InputError(f"the ledger {self.place} is read-only", "choose another home with --home")
        try:
            with Session(self._engine) as session, session.begin():
                if writes:
                    session.connection(execution_options={_WRITES: True})
                yield session
        except SQLAlchemyError as error:
            raise self._locked(error) or InputError(f"the ledger can't be used: {_cause(error)}") from None

    def close(self) -> None:
        """Close all connections, and remove the copy of a read-only database, if there is one."""
        self._engine.dispose()
        self._open.close()

    def _connect_to_sqlite(self, connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # transactions begin in `_begin_in_sqlite`
        connection.execute(f"PRAGMA busy_timeout={_ONE_WAIT_MS}")
        if self.read_only:
            return
        # With a write-ahead log readers (`show`, `list`) and a running sweep don't block each other.
        self._patiently(lambda: connection.execute("PRAGMA journal_mode=WAL"))
        connection.execute("PRAGMA foreign_keys=ON")

    def _begin_in_sqlite(self, connection: Connection) -> None:
        """Begin a transaction with the lock that it needs, so that no later statement meets a locked database."""
        writes = connection.get_execution_options().get(_WRITES, False)

        def begin() -> None:
            connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
            try:
                connection.exec_driver_sql("SELECT 1 FROM sqlite_master")
            except SQLAlchemyError:
                connection.exec_driver_sql("ROLLBACK")
                raise

        self._patiently(begin)

    def _patiently(self, do: Callable[[], object]) -> None:
        """Do something, again and again while the database is locked, for `wait_s` at most."""
        began, told = time.monotonic(), False
        while True:
            try:
                do()
                return
            except (OperationalError, sqlite3.OperationalError) as error:
                waited = time.monotonic() - began
                if not _is_locked(error) or waited > self._wait_s:
                    raise
                _log.debug("the ledger is locked: waiting")
                if not told and waited > _MOMENT_S:
                    told = True
                    self.on_long_wait(self._wait_s)

    def _locked(self, error: Exception) -> MissingPrerequisite | None:
        if not _is_locked(error):
            return None
        waited, self._wait_s = self._wait_s, min(self._wait_s, _SHORT_WAIT_S)
        return MissingPrerequisite(
            f"the ledger {self.place} is locked by another program, which didn't release it within {waited:g} s",
            "end that program, such as a backup or a database shell, and try again",
        )

    def _unopened(self, error: Exception) -> OrchestrateError:
        cause = "not a database URL" if isinstance(error, ArgumentError | ValueError) else _cause(error)
        return self._locked(error) or InputError(f"the ledger {self.place} can't be opened: {cause}")


def place_of(url: str) -> str:
    """Return a database URL without user, password and query, which may contain a password too.

    >>> place_of("postgresql://me:p?w@d@db.example/lab?sslpassword=x")
    'postgresql://db.example/lab'
    """
    dialect, _, rest = url.partition("://")
    if dialect.partition("+")[0] != "sqlite":  # a path can hold an @
        rest = rest.rpartition("@")[2]
    return f"{dialect}://{rest.partition('?')[0]}"


def _file(database: str) -> Path | None:
    """Return the path of a SQLite database; None for one in memory."""
    if database.startswith("file:"):
        from urllib.parse import unquote, urlsplit

        return Path(unquote(urlsplit(database).path))
    return None if database in ("", ":memory:") else Path(database)


def _is_locked(error: Exception) -> bool:
    cause = getattr(error, "orig", None) or error
    return isinstance(cause, sqlite3.OperationalError) and "locked" in str(cause)


def _cause(error: Exception) -> str:
    cause = getattr(error, "orig", None) or error
    return (str(cause).strip().splitlines() or [type(cause).__name__])[0][:200]
