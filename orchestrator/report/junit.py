"""A sweep as JUnit XML: a test case for each trial, for CI systems."""

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

from orchestrator.model.quantities import shown_in
from orchestrator.model.scorecard import Scorecard
from orchestrator.sweeps.ledger import SweepRecord, TrialRecord
from orchestrator.sweeps.runner import assumptions_of

if TYPE_CHECKING:
    from junitparser import Error, Skipped, TestCase

# XML 1.0 has no way to write these.
_NOT_IN_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def junit_xml(record: SweepRecord) -> str:
    """Return one suite. A failed trial is a failure, an interrupted one an error.

    An invalid trial is skipped with the reasons, and so is a trial that hasn't run: they prove nothing. If no trial is
    valid, each invalid trial is an error, because `orchestrate sweep` ends with exit code 1.
    """
    from junitparser import Error, JUnitXml, Skipped, TestSuite

    suite = TestSuite(_text(f"orchestrate sweep {record.sweep_id}" + (f" ({record.name})" if record.name else "")))
    for name, value in (("backend", record.backend), ("ray", record.environment.get("ray", "unknown"))):
        suite.add_property(name, _text(str(value)))
    for assumption in assumptions_of(record):
        suite.add_property("assumption", _text(assumption))
    invalid = Skipped if any(each.valid for each in record.trials) else Error
    suite.add_testcases([_case(each, invalid) for each in record.trials])
    document = JUnitXml()
    document.add_testsuite(suite)
    document.update_statistics()
    text = document.tostring()
    return text.decode() if isinstance(text, bytes) else str(text)


def _case(record: TrialRecord, invalid: "type[Skipped | Error]") -> "TestCase":
    from junitparser import Error, Failure, Properties, Property, Skipped, TestCase

    trial, card = record.trial, record.scorecard
    took = None if record.started is None or record.ended is None else record.ended - record.started
    case = TestCase(_text(f"{trial.settings.label()} #{trial.repeat}"), f"orchestrate.{record.sweep_id}", took)
    properties = Properties()
    for name, value in (("trial_id", trial.trial_id), ("seed", trial.seed), *_numbers(card)):
        properties.add_property(Property(name, str(value)))
    case.append(properties)
    if record.status == "failed":
        case.result = [Failure(_text(record.reason) or "failed", "failed")]
    elif record.status == "interrupted":
        case.result = [Error(_text(record.reason) or "interrupted", "interrupted")]
    elif record.status != "done":
        case.result = [Skipped(f"not finished: {record.status}", "unfinished")]
    elif card is None or not card.valid:
        reasons = card.invalid_because if card is not None else ("no scorecard",)
        case.result = [invalid(_text(f"invalid: {'; '.join(reasons)}"), "invalid")]
    return case


def _numbers(card: Scorecard | None) -> Iterable[tuple[str, object]]:
    if card is None:
        return
    yield "valid", str(card.valid).lower()
    for each in shown_in("junit"):
        if (value := each.value(card)) is not None:
            yield each.name, value


def _text(text: str) -> str:
    return _NOT_IN_XML.sub("\ufffd", text)
