"""The settings that the node provider on a head reports, as lines of JSON in a file."""

import json
import logging
from pathlib import Path
from typing import Any

from orchestrator.logs import suppressed
from orchestrator.trace.tail import Tail

_log = logging.getLogger(__name__)

_LONGEST_LINE = 100_000


class SettingsReports:
    """A reader of reports, which the provider appends whenever the settings in force change."""

    def __init__(self, file: Path) -> None:
        self._lines = Tail(file, longest=_LONGEST_LINE)
        self._newest: dict[str, Any] | None = None

    def newest(self) -> dict[str, Any] | None:
        """Return the settings of the newest report; None before the first one."""
        for line in self._lines.read():
            # Jobs can write to this file, too.
            with suppressed(_log, "reading settings", ValueError, KeyError, TypeError, RecursionError):
                self._newest = dict(json.loads(line)["settings"])
        return self._newest
