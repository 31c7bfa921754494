"""Sweeps as JSON: always as the schema says."""

import json
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.model.trial import Trial
from orchestrator.report.json_document import SweepDocument, TrialDocument, sweep_document, trial_document
from orchestrator.sweeps.ledger import SweepRecord
from tests.support.builders import scorecard, sweep_record, trial, trial_record
from tests.support.strategies import trials

FAST, SLOW = trial(upscaling_speed=10), trial(upscaling_speed=1)
RECORDS = {
    "empty": sweep_record(),
    "planned": sweep_record(
        trial_record(FAST, status="planned", started=None, ended=None, trace="", scorecard=None),
        status="running",
        ended=None,
    ),
    "failed": sweep_record(trial_record(FAST, status="failed", reason="the head died", scorecard=None)),
    "invalid": sweep_record(trial_record(FAST, scorecard=scorecard(valid=False, invalid_because=("a gap",)))),
    "done": sweep_record(trial_record(FAST), trial_record(SLOW, scorecard=scorecard(20.0)), name="night run"),
}


def as_json(record: SweepRecord) -> Any:
    """What `--json` writes, read again."""
    return json.loads(json.dumps(sweep_document(record).model_dump(mode="json"), allow_nan=False))


@pytest.mark.parametrize("record", RECORDS.values(), ids=RECORDS)
def test_every_sweep_is_as_the_schema_says(record: SweepRecord) -> None:
    document = as_json(record)

    jsonschema.validate(document, SweepDocument.model_json_schema())
    assert SweepDocument.model_validate(document) == sweep_document(record)


@settings(max_examples=10)
@given(st.lists(trials(), max_size=2), st.none() | st.floats(0, 1e6))
def test_sweeps_of_any_trials_are_as_the_schema_says(tried: list[Trial], makespan_s: float | None) -> None:
    card = scorecard(makespan_s, valid=makespan_s is not None)
    document = as_json(sweep_record(*(trial_record(each, scorecard=card) for each in tried)))

    jsonschema.validate(document, SweepDocument.model_json_schema())
    assert len(document["trials"]) == len(tried)


def test_the_schema_refuses_what_is_no_sweep() -> None:
    document = as_json(RECORDS["done"])
    del document["trials"][0]["settings"]

    with pytest.raises(jsonschema.ValidationError, match="'settings' is a required property"):
        jsonschema.validate(document, SweepDocument.model_json_schema())


def test_a_document_holds_the_keys_that_the_design_promises() -> None:
    document = as_json(RECORDS["done"])

    assert document.keys() >= {"sweep_id", "name", "backend", "trials", "summary"}
    assert document["trials"][0].keys() >= {"trial_id", "settings", "repeat", "status", "trace", "scorecard"}


def test_a_document_holds_what_the_ledger_holds() -> None:
    document = as_json(RECORDS["done"])

    assert (document["sweep_id"], document["name"], document["status"]) == ("c0ffee00", "night run", "done")
    assert [found["trial_id"] for found in document["trials"]] == [FAST.trial_id, SLOW.trial_id]
    assert document["trials"][0]["settings"]["upscaling_speed"] == 10.0
    assert document["trials"][1]["scorecard"]["makespan_s"] == 20.0
    assert document["environment"] == {"ray": "2.60.0"}


def test_a_summary_has_a_row_for_each_setting_and_marks_the_best() -> None:
    document = as_json(RECORDS["done"])

    assert [(row["label"], row["best"]) for row in document["summary"]] == [
        ("v2 speed=10", True),
        ("v2 speed=1", False),
    ]


def test_a_trial_that_has_not_ended_has_no_scorecard() -> None:
    (found,) = as_json(RECORDS["planned"])["trials"]

    assert (found["scorecard"], found["started"], found["ended"], found["status"]) == (None, None, None, "planned")


def test_a_trial_alone_is_as_the_schema_says() -> None:
    document = trial_document(trial_record(FAST)).model_dump(mode="json")

    jsonschema.validate(document, TrialDocument.model_json_schema())
    assert document["repeat"] == 1
