"""The searches of a home, kept as optuna studies in a database of their own, and read without optuna.

The ledger can't hold them: optuna has a table called `trials`, too.
"""

import json
import logging
import sqlite3
import warnings
from collections.abc import Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator.errors import InputError
from orchestrator.sqlite_files import is_read_only, read_only_uri, sqlite_url

if TYPE_CHECKING:
    import optuna

_log = logging.getLogger(__name__)

_STUDIES = "SELECT study_id, study_name FROM studies ORDER BY study_id DESC"
_ATTRIBUTES = "SELECT key, value_json FROM study_user_attributes WHERE study_id = ?"


@dataclass(frozen=True)
class SearchRecord:
    """A search: its id, and its facts by name, such as `objective` and `best`."""

    search_id: str
    facts: Mapping[str, Any]


@dataclass(frozen=True)
class SearchStore:
    """The database at a path. It exists from the first search on."""

    path: Path

    @property
    def url(self) -> str:
        """The address for optuna and optuna-dashboard."""
        return sqlite_url(self.path)

    def add(self, study: "optuna.Study", search_id: str, facts: Mapping[str, Any]) -> None:
        """Copy a study that is in memory. Raises InputError."""
        import optuna
        from sqlalchemy.exc import SQLAlchemyError

        try:
            # Several searches may end at the same time.
            storage = optuna.storages.RDBStorage(self.url, engine_kwargs={"connect_args": {"timeout": 30}})
            with closing(storage.engine.raw_connection()) as opened:
                opened.cursor().execute("PRAGMA journal_mode=WAL")
            copy = optuna.create_study(storage=storage, study_name=search_id, directions=study.directions)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # set_metric_names is experimental
                copy.set_metric_names(study.metric_names or [])
            for name, value in facts.items():
                copy.set_user_attr(name, value)
            copy.add_trials(trial for trial in study.get_trials(deepcopy=False) if trial.state.is_finished())
            storage.engine.dispose()
        except (SQLAlchemyError, sqlite3.Error, OSError) as error:
            raise InputError(f"the search can't be stored in {self.path}: {str(error).splitlines()[0]}") from error

    def all(self) -> list[SearchRecord]:
        """Return the searches, the newest first."""
        if not self.path.is_file():
            return []
        try:
            with ExitStack() as opened:
                uri = f"{self.path.as_uri()}?mode=ro"
                if is_read_only(self.path):
                    uri = opened.enter_context(read_only_uri(self.path))
                database = opened.enter_context(closing(sqlite3.connect(uri, uri=True, timeout=10)))
                return [
                    SearchRecord(name, {key: json.loads(value) for key, value in database.execute(_ATTRIBUTES, (row,))})
                    for row, name in database.execute(_STUDIES).fetchall()
                ]
        except (sqlite3.Error, ValueError, TypeError, RecursionError) as error:
            _log.debug("no searches", exc_info=True)
            raise InputError(f"{self.path} holds no searches: {error}", "move it away, and search again") from None
