"""Puts Ray's autoscaler into virtual time: the one place where names inside Ray are replaced, and restored.

Every replacement asks first whether the calling thread is in a simulation, and does what Ray does if it isn't. So a
simulation may run beside a real autoscaler, or beside other simulations, in the same program.
"""

import sys
import threading
import types
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from orchestrator.errors import MissingPrerequisite
from orchestrator.rayapi.virtual.session import Replacement, Session, _current
from orchestrator.rayapi.virtual.world import World

OLDEST, NEWEST = (2, 50), (2, 60)

_ENTRY_POINTS = (
    "ray.autoscaler.v2.autoscaler",
    "ray.autoscaler._private.autoscaler",
    "ray.autoscaler._private.monitor",
    "ray.autoscaler._private.event_summarizer",
)


def require_supported_ray() -> None:
    """Raises MissingPrerequisite unless the simulator knows the insides of the installed Ray."""
    supported = "2.50 to 2.60"
    try:
        installed = version("ray")
    except PackageNotFoundError:
        raise MissingPrerequisite("Ray isn't installed", "pip install 'ray[default]'") from None
    numbers = tuple(int(part) for part in installed.split(".")[:2] if part.isdigit())
    if not OLDEST <= numbers <= NEWEST:
        raise MissingPrerequisite(
            f"the simulator runs Ray's own autoscaler code and knows Ray {supported}, not {installed}",
            "pip install 'ray[default]==2.60.0'",
        )


class _Time:
    """Stands in for the `time` module."""

    def __init__(self, real: Any) -> None:
        self._real = real

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def time(self) -> float:
        session = _current.session
        return self._real.time() if session is None else session.world.now()

    monotonic = perf_counter = time

    def time_ns(self) -> int:
        session = _current.session
        # As float arithmetic would lose the last digits: microseconds are exact in a double until 2255.
        return self._real.time_ns() if session is None else round(session.world.now() * 1e6) * 1000

    def sleep(self, seconds: float) -> None:
        if _current.session is None:
            self._real.sleep(seconds)


class _Uuid:
    """Stands in for the `uuid` module."""

    def __init__(self, real: Any) -> None:
        self._real = real

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def uuid4(self) -> uuid.UUID:
        session = _current.session
        return uuid.uuid4() if session is None else uuid.UUID(int=session.world.random_bits(), version=4)


class _Logger:
    """Stands in for a logger: silent in a simulation, but for exceptions that Ray swallows."""

    def __init__(self, real: Any) -> None:
        self._real = real

    def __getattr__(self, name: str) -> Any:
        if _current.session is None:
            return getattr(self._real, name)
        return self._exception if name == "exception" else self._nothing

    @staticmethod
    def _nothing(*_args: Any, **_more: Any) -> bool:
        return False

    @staticmethod
    def _exception(*_args: Any, **_more: Any) -> None:
        session, error = _current.session, sys.exc_info()[1]
        if session is not None and error is not None:
            session.errors.append(error)


class _OffInSimulation:
    """Stands in for a flag."""

    def __init__(self, real: Any) -> None:
        self._real = real

    def __bool__(self) -> bool:
        return _current.session is None and bool(self._real)


class _InlineThread:
    """A thread that runs when it is started, and is over then."""

    def __init__(self, target: Callable[..., None], args: tuple[Any, ...] = (), **_: Any) -> None:
        self._target, self._args = target, args

    def start(self) -> None:
        self._target(*self._args)

    def join(self) -> None:
        pass


class _Threading:
    """Stands in for the `threading` module."""

    def __init__(self, real: Any) -> None:
        self._real = real

    def __getattr__(self, name: str) -> Any:
        return _InlineThread if name == "Thread" and _current.session is not None else getattr(self._real, name)


# Installation: counted, so that simulations in several threads share one set of replacements

_lock = threading.Lock()
_users = 0
_saved: list[tuple[Any, str, Any]] = []
_MISSING = object()


def _replacements() -> Iterator[Replacement]:
    """Everything that is replaced: owner, name, and what makes the stand-in from the real thing."""
    import logging
    import time

    from orchestrator.rayapi.virtual import autoscaler_v1 as v1
    from orchestrator.rayapi.virtual import autoscaler_v2 as v2
    from orchestrator.rayapi.virtual import fastpaths

    for name in _ENTRY_POINTS:
        import_module(name)
    for name, module in sorted(sys.modules.items()):
        if not name.startswith("ray.autoscaler."):
            continue
        names = vars(module)
        if names.get("time") is time:
            yield module, "time", _Time
        if names.get("uuid") is uuid:
            yield module, "uuid", _Uuid
        if isinstance(names.get("logger"), logging.Logger):
            yield module, "logger", _Logger
    yield from v2.replacements()
    yield from v1.replacements(_Threading, _OffInSimulation)
    yield from fastpaths.replacements()


def _install() -> None:
    global _users
    with _lock:
        _users += 1
        if _users > 1:
            return
        for owner, name, make in list(_replacements()):
            real = vars(owner).get(name, _MISSING)
            _saved.append((owner, name, real))
            if isinstance(real, staticmethod):
                setattr(owner, name, staticmethod(make(real.__func__)))
            else:
                setattr(owner, name, make(None if real is _MISSING else real))


def _restore() -> None:
    global _users
    with _lock:
        _users -= 1
        if _users:
            return
        while _saved:
            owner, name, real = _saved.pop()
            if real is _MISSING:
                delattr(owner, name)
            else:
                setattr(owner, name, real)


@contextmanager
def simulation(world: World) -> Iterator[Session]:
    """Ray's autoscaler, as far as the calling thread uses it, lives in `world` within this context.

    Raises MissingPrerequisite if the installed Ray isn't one whose insides are known.
    """
    require_supported_ray()
    if _current.session is not None:
        raise RuntimeError("a simulation can't run inside another one, in the same thread")
    _install()
    _current.session = Session(world)
    try:
        yield _current.session
    finally:
        _current.session = None
        _restore()


def replaced_names() -> list[tuple[types.ModuleType | type, str]]:
    """What is replaced right now; empty while no simulation runs."""
    with _lock:
        return [(owner, name) for owner, name, _ in _saved]
