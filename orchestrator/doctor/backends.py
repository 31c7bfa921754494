"""Questions about backends: which ones can be used, and what each of them asks of this machine."""

import logging
from functools import partial
from pathlib import Path

from orchestrator.backends import registry
from orchestrator.backends.base import BackendKind
from orchestrator.errors import InputError
from orchestrator.inputs.cluster_config import read_cluster_file
from orchestrator.readiness import Finding, Question

_log = logging.getLogger(__name__)


def backend_questions(home: Path, named: str | None = None, cluster: Path | None = None) -> list[Question]:
    """Return the question which backends there are, and the questions of each backend.

    If the backend `named` is in a cloud, these include the questions about what `cluster`, or its default cluster file,
    needs of the account. Raises InputError for a cluster file that can't be read, or is for another backend.
    """
    questions = [
        Question("backends", (), backends),
        *(question for kind in registry.kinds() for question in _questions_of(kind, home)),
    ]
    cloud = None if named is None else registry.kind(named).cloud
    if named is None or cloud is None:
        if cluster is not None:
            clouds = " or ".join(f"--backend {kind.name}" for kind in registry.kinds() if kind.cloud is not None)
            raise InputError("--cluster is for backends in a cloud", f"add {clouds}")
        return questions
    kind = registry.kind(named)
    file = read_cluster_file(cluster or kind.default_cluster())
    kind.check(file)
    return [*questions, *cloud.preflight(file)]


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
