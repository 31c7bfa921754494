"""A job's tasks and actors as events of a trace, from Ray's own records."""

import logging
import time
from collections.abc import Callable

from orchestrator.model.events import Event
from orchestrator.observer.node_tracker import TrackedNode
from orchestrator.observer.task_events import details_of, missing_note, task_event
from orchestrator.rayapi.job_records import JobRecords, read_records

_log = logging.getLogger(__name__)

# Processes send their events once a second. The GCS closes the records of tasks that ended with the job after 15 s.
_SETTLE_S = 20.0
_POLL_S = 1.0


def settled_records(gcs: str, submission_id: str, ended: float, check: Callable[[], None]) -> JobRecords:
    """Return Ray's records of a job that has ended, once they are complete or don't change any more.

    `check` may raise while this waits. Raises ConnectionError.
    """
    deadline = time.monotonic() + _SETTLE_S
    while True:
        records = read_records(gcs, submission_id, ended)
        if not records.unfinished or time.monotonic() > deadline:
            _log.info(
                "job %s: %d records, %d calls of actors, %d missing; helpers left: %s",
                submission_id,
                len(records.runs),
                records.calls,
                records.missing,
                ", ".join(records.helpers) or "none",
            )
            return records
        check()
        time.sleep(_POLL_S)


def events_of(records: JobRecords, node_of: Callable[[str], TrackedNode | None], ended: float) -> list[Event]:
    """Return an event for each record, and a note about those that are missing, at the job's end."""
    events: list[Event] = [task_event(run, node_of(run.node), details_of(run)) for run in records.runs]
    if records.missing:
        events.append(missing_note(ended, len(records.runs), records.missing))
    return events
