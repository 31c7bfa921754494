"""All backends: the built-in ones, and those of installed packages. No module outside their folders names a backend.

A package adds a backend by an entry point of the group `orchestrate.backends` whose name is the backend's and whose
object is a `BackendKind`:

    [project.entry-points."orchestrate.backends"]
    moon = "moonlab.backend:MOON"
"""

import logging
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points

from orchestrator.backends.aws.kind import AWS
from orchestrator.backends.base import BackendKind
from orchestrator.backends.docker.kind import DOCKER
from orchestrator.backends.local.kind import LOCAL
from orchestrator.backends.simulated.kind import SIMULATED
from orchestrator.errors import InputError, MissingPrerequisite

__all__ = [
    "AWS",
    "BUILT_IN",
    "DOCKER",
    "GROUP",
    "LOCAL",
    "SIMULATED",
    "Unusable",
    "all_backends",
    "find",
    "kind",
    "kinds",
    "names",
    "real_time",
]

_log = logging.getLogger(__name__)

GROUP = "orchestrate.backends"

BUILT_IN = (LOCAL, DOCKER, AWS, SIMULATED)

_BUILT_IN = {kind.name: kind for kind in BUILT_IN}


@dataclass(frozen=True)
class Unusable:
    """A backend of an installed package that can't be loaded, and the reason."""

    name: str
    error: MissingPrerequisite


def names() -> tuple[str, ...]:
    """Return the names of all backends, built-in ones first. Nothing of another package is loaded."""
    return tuple(dict.fromkeys((*_BUILT_IN, *(point.name for point in _entry_points()))))


def kind(name: str) -> BackendKind:
    """Return the backend with this name. Raises InputError if there is none, MissingPrerequisite if it can't load."""
    if name in _BUILT_IN:
        return _BUILT_IN[name]
    for point in _entry_points():
        if point.name == name:
            return _load(point)
    from orchestrator.inputs.sweep_spec import unknown_backend

    raise InputError(*unknown_backend(name, names()))


def find(name: str) -> BackendKind | None:
    """Return the backend with this name; None if it isn't installed or can't be loaded."""
    try:
        return kind(name)
    except (InputError, MissingPrerequisite):
        # not logged: None is the answer.
        return None


def kinds() -> tuple[BackendKind, ...]:
    """Return all backends that can be loaded, built-in ones first."""
    return tuple(each for each in all_backends() if isinstance(each, BackendKind))


def all_backends() -> tuple[BackendKind | Unusable, ...]:
    """Return all backends, built-in ones first. A package that can't be loaded doesn't keep the others from it."""
    found: dict[str, BackendKind | Unusable] = dict(_BUILT_IN)
    refused = []
    for point in _entry_points():
        if point.name in found:
            refused.append(Unusable(point.name, _refusal(point, "its name is taken by another backend")))
            continue
        try:
            found[point.name] = _load(point)
        except MissingPrerequisite as error:
            _log.warning("the backend %s can't be loaded", point.name, exc_info=True)
            found[point.name] = Unusable(point.name, error)
    return (*found.values(), *refused)


def real_time(name: str) -> bool:
    """Return true if trials of this backend take place in real time. Assume so for a backend that isn't installed."""
    found = find(name)
    return found is None or found.real_time


def _entry_points() -> list[EntryPoint]:
    return sorted(entry_points(group=GROUP), key=lambda point: point.name)


def _load(point: EntryPoint) -> BackendKind:
    """Load another package's backend. Raises MissingPrerequisite, whatever goes wrong in that package."""
    try:
        loaded = point.load()
    except Exception as error:
        raise _refusal(point, f"{type(error).__name__}: {error}") from error
    if not isinstance(loaded, BackendKind):
        raise _refusal(point, f"{point.value} is no BackendKind")
    if loaded.name != point.name:
        raise _refusal(point, f"{point.value} calls itself {loaded.name!r}")
    return loaded


def _refusal(point: EntryPoint, why: str) -> MissingPrerequisite:
    package = point.dist.name if point.dist is not None else point.value
    return MissingPrerequisite(
        f"the backend {point.name} of the package {package} can't be used: {why}",
        f"install a version of {package} that fits this orchestrate, or uninstall it",
    )
