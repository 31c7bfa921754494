"""A job's tasks and actors as events of a trace, from Ray's own records."""

import logging
import time
from collections.abc import Callable

from orchestrator.model.events import Event, NoteEvent, TaskEvent
from orchestrator.observer.node_tracker import TrackedNode
from orchestrator.rayapi.job_records import JobRecords, read_records

_log = logging.getLogger(__name__)

# Processes send their events once a second. The GCS closes the records of tasks that ended with the job after 15 s.
_SETTLE_S = 20.0
_POLL_S = 1.0

NEGLIGIBLE = 0.01
"""The share of missing records up to which waits, CPU use and elasticity are still computed."""


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
    events: list[Event] = []
    for run in records.runs:
        node = node_of(run.node)
        events.append(
            TaskEvent(
                t=run.ended,
                node=run.node,
                node_type=node.node_type if node else "",
                arch=node.traits.arch if node else "unknown",
                cpus=run.cpus,
                submitted=run.submitted,
                started=run.started,
                ended=run.ended,
                ok=run.ok,
                **{"name": run.name, "actor": run.is_actor},
            )
        )
    if records.missing:
        events.append(_missing(records, ended))
    return events


def _missing(records: JobRecords, ended: float) -> NoteEvent:
    known = len(records.runs)
    every = known + records.missing
    few = records.missing <= NEGLIGIBLE * every
    left_out = "" if few else "; so waits, CPU use and elasticity are left out"
    return NoteEvent(
        t=ended,
        kind="records_missing" if few else "records_incomplete",
        text=f"Ray kept no complete record of {records.missing} of {every} tasks and actors{left_out}",
    )
