"""A check is one question about this machine, put so that it can neither hang nor break the others."""

import logging
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from orchestrator.errors import OrchestrateError

_log = logging.getLogger(__name__)

State = Literal["ok", "warning", "missing"]
Feature = Literal["sweep", "simulate", "docker", "stack"]
"""What of the program needs it: local sweeps, the simulator, the docker backend, Prometheus and Grafana."""

TIME_LIMIT_S = 15.0


@dataclass(frozen=True)
class Finding:
    """An answer: what there is, and what to do about it if that isn't all."""

    state: State
    detail: str
    hint: str = ""


@dataclass(frozen=True)
class Question:
    """`look` answers, or raises the error that a command would end with where something is missing."""

    name: str
    needed_by: tuple[Feature, ...]
    look: Callable[[], Finding]


@dataclass(frozen=True)
class Check:
    """A question with its answer."""

    name: str
    state: State
    detail: str
    hint: str
    needed_by: tuple[Feature, ...]


def examine(questions: Iterable[Question], *, time_limit_s: float = TIME_LIMIT_S) -> Iterator[Check]:
    """The answers, one after another. A question that takes longer than `time_limit_s` is left alone."""
    for question in questions:
        found = _answer(question, time_limit_s)
        detail, hint = (" ".join(text.split()) for text in (found.detail, found.hint))
        yield Check(question.name, found.state, detail, hint, question.needed_by)


def can_sweep(checks: Iterable[Check]) -> bool:
    """Whether the local backend lacks nothing."""
    return not any(check.state == "missing" and "sweep" in check.needed_by for check in checks)


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
