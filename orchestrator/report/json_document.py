"""A sweep or a trial as JSON: what `--json` writes. `docs/schema/` holds the schema, made from these models."""

import json
from typing import Any

from pydantic import BaseModel, ConfigDict

from orchestrator.analysis.sweep.summary import SettingSummary, summarise
from orchestrator.model.scorecard import Scorecard
from orchestrator.model.settings import Settings
from orchestrator.sweeps.ledger import SweepRecord, TrialRecord
from orchestrator.sweeps.runner import assumptions_of


class TrialDocument(BaseModel):
    """One trial. `trace` is the path of its trace; `scorecard` is null until the trial has ended."""

    model_config = ConfigDict(title="Trial")

    trial_id: str
    settings: Settings
    repeat: int
    status: str
    reason: str
    started: float | None
    ended: float | None
    trace: str
    scorecard: Scorecard | None


class ShownTrialDocument(TrialDocument):
    """One trial as `show TRIAL` writes it: with the assumptions of its sweep."""

    assumptions: list[str]


class SweepDocument(BaseModel):
    """A sweep, its trials and one summary row for each setting. Times in UNIX seconds, durations in seconds.

    `assumptions` say what the results rest on without the user having said so, such as launch latencies.
    """

    model_config = ConfigDict(title="Sweep")

    sweep_id: str
    name: str
    backend: str
    status: str
    created: float
    ended: float | None
    environment: dict[str, Any]
    trials: list[TrialDocument]
    summary: list[SettingSummary]
    assumptions: list[str] = []


def shown_trial_document(record: TrialRecord, sweep: SweepRecord) -> ShownTrialDocument:
    """Return a trial of the ledger as a document of its own."""
    return ShownTrialDocument(**dict(trial_document(record)), assumptions=assumptions_of(sweep))


def trial_document(record: TrialRecord) -> TrialDocument:
    """Return a trial of the ledger as a document."""
    return TrialDocument(
        trial_id=record.trial.trial_id,
        settings=record.trial.settings,
        repeat=record.trial.repeat,
        status=record.status,
        reason=record.reason,
        started=record.started,
        ended=record.ended,
        trace=record.trace,
        scorecard=record.scorecard,
    )


def sweep_document(record: SweepRecord) -> SweepDocument:
    """Return a sweep of the ledger as a document."""
    return SweepDocument(
        sweep_id=record.sweep_id,
        name=record.name,
        backend=record.backend,
        status=record.status,
        created=record.created,
        ended=record.ended,
        environment=record.environment,
        trials=[trial_document(trial) for trial in record.trials],
        summary=summarise((trial.trial.settings, trial.scorecard) for trial in record.trials),
        assumptions=assumptions_of(record),
    )


def schema() -> str:
    """Return the JSON schema of a sweep's document, as in `docs/schema/`."""
    return json.dumps(SweepDocument.model_json_schema(), indent=2) + "\n"


if __name__ == "__main__":
    print(schema(), end="")
