"""Questions about backends: which ones can be used, and what each of them asks of this machine."""

import logging
from functools import partial
from pathlib import Path

from orchestrator.backends import registry
from orchestrator.backends.base import BackendKind
from orchestrator.readiness import Finding, Question

_log = logging.getLogger(__name__)


def backend_questions(home: Path) -> list[Question]:
    """Return the question which backends there are, and the questions of each backend."""
    return [
        Question("backends", (), backends),
        *(question for kind in registry.kinds() for question in _questions_of(kind, home)),
    ]


def backends() -> Finding:
    """Return the names of all backends. A package whose backend can't be used is a warning."""
    found = registry.all_backends()
    names = ", ".join(each.name for each in found if isinstance(each, BackendKind))
    unusable = [each.error for each in found if not isinstance(each, BackendKind)]
    if not unusable:
        return Finding("ok", names)
    return Finding("warning", "; ".join((names, *(error.message for error in unusable))), unusable[0].hint or "")


def _questions_of(kind: BackendKind, home: Path) -> list[Question]:
    """Return a backend's questions; if it can't even ask them, a question that says so."""
    try:
        return list(kind.questions(home))
    except Exception as error:
        _log.exception("the questions of the backend %s", kind.name)
        found = Finding("warning", f"the backend can't say what it needs: {type(error).__name__}: {error}")
        return [Question(kind.name, (kind.name,), partial(_known, found))]


def _known(found: Finding) -> Finding:
    return found
