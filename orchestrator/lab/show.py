"""Reads a trial's trace for the trends that are shown with its scorecard."""

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.errors import OrchestrateError

if TYPE_CHECKING:
    from orchestrator.analysis.trial.series import Series
    from orchestrator.sweeps.ledger import TrialRecord

_log = logging.getLogger(__name__)

# A trace is read into memory as a whole, which takes seconds beyond this size.
MAX_TRACE_BYTES = 50_000_000


def trial_series(record: "TrialRecord") -> "Series | str":
    """Return the series of a trial over time, or why there are none."""
    from orchestrator.analysis.trial.series import series
    from orchestrator.trace.file import read_trace

    path = Path(record.trace)
    if not record.trace or not path.is_file():
        return "its trace isn't there"
    if path.stat().st_size > MAX_TRACE_BYTES:
        return f"its trace is larger than {MAX_TRACE_BYTES // 1_000_000} MB; see: orchestrate report"
    try:
        return series(record.trial, read_trace(path).events) or "no task has run"
    except OrchestrateError as error:
        _log.warning("the trace of %s can't be read", record.trial.trial_id, exc_info=True)
        return str(error)
