"""Ask questions about this machine so that none can hang, or break the others."""

import logging
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from orchestrator.errors import OrchestrateError
from orchestrator.readiness import Finding, Question, State

_log = logging.getLogger(__name__)

TIME_LIMIT_S = 15.0
CLOUD_TIME_LIMIT_S = 60.0
"""A question about an account may take several calls, and a cloud that throttles answers late."""


@dataclass(frozen=True)
class Check:
    """A question with its answer."""

    name: str
    state: State
    detail: str
    hint: str
    needed_by: tuple[str, ...]


def examine(questions: Iterable[Question], *, time_limit_s: float = TIME_LIMIT_S) -> Iterator[Check]:
    """Yield the answers, one after another. A question that takes longer than `time_limit_s` is given up."""
    for question in questions:
        found = _answer(question, time_limit_s)
        detail, hint = (" ".join(text.split()) for text in (found.detail, found.hint))
        yield Check(question.name, found.state, detail, hint, question.needed_by)


def can_sweep(checks: Iterable[Check], feature: str = "sweep") -> bool:
    """Return true if nothing is missing for local sweeps, or for those of a backend."""
    return not any(check.state == "missing" and feature in check.needed_by for check in checks)


def _answer(question: Question, time_limit_s: float) -> Finding:
    answers: list[Finding] = []

    def look() -> None:
        try:
            answers.append(question.look())
        except OrchestrateError as error:
            _log.debug("doctor: %s: %s", question.name, error.message)
            answers.append(Finding("missing", error.message, error.hint or ""))
        except Exception as error:  # a diagnosis that ends with the first surprise is none
            _log.warning("doctor: %s", question.name, exc_info=True)
            answers.append(Finding("warning", f"it can't be told: {type(error).__name__}: {error}"))

    thread = threading.Thread(target=look, name=f"doctor: {question.name}", daemon=True)
    thread.start()
    thread.join(time_limit_s)
    return answers[0] if answers else Finding("warning", f"no answer within {time_limit_s:g} s")
