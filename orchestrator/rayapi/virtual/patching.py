"""Virtual time for Ray's autoscaler: the only place that replaces names inside Ray, and restores them.

Every replacement first checks whether the calling thread runs a simulation. If not, it calls Ray's original. A
simulation can therefore run in the same program as a real autoscaler or as other simulations.
"""

import sys
import threading
import types
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

from orchestrator.rayapi.version import require_supported_ray
from orchestrator.rayapi.virtual.session import Replacement, Session, _current
from orchestrator.rayapi.virtual.world import World

_ENTRY_POINTS = (
    "ray.autoscaler.v2.autoscaler",
    "ray.autoscaler._private.autoscaler",
    "ray.autoscaler._private.monitor",
    "ray.autoscaler._private.event_summarizer",
)


class _Time:
    """A stand-in for the `time` module."""

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
        # Float nanoseconds would lose the last digits. Microseconds are exact in a double until 2255.
        return self._real.time_ns() if session is None else round(session.world.now() * 1e6) * 1000

    def sleep(self, seconds: float) -> None:
        if _current.session is None:
            self._real.sleep(seconds)


class _Uuid:
    """A stand-in for the `uuid` module."""

    def __init__(self, real: Any) -> None:
        self._real = real

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def uuid4(self) -> uuid.UUID:
        session = _current.session
        return uuid.uuid4() if session is None else uuid.UUID(int=session.world.random_bits(), version=4)


class _Logger:
    """A stand-in for a logger that is silent in a simulation, but keeps the exceptions that Ray swallows."""

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
    """A stand-in for a flag that is false in a simulation."""

    def __init__(self, real: Any) -> None:
        self._real = real

    def __bool__(self) -> bool:
        return _current.session is None and bool(self._real)


class _InlineThread:
    """A thread that runs to its end inside `start`."""

    def __init__(self, target: Callable[..., None], args: tuple[Any, ...] = (), **_: Any) -> None:
        self._target, self._args = target, args

    def start(self) -> None:
        self._target(*self._args)

    def join(self) -> None:
        pass


class _Threading:
    """A stand-in for the `threading` module."""

    def __init__(self, real: Any) -> None:
        self._real = real

    def __getattr__(self, name: str) -> Any:
        return _InlineThread if name == "Thread" and _current.session is not None else getattr(self._real, name)


# Installation is counted, so that simulations in several threads share one set of replacements

_lock = threading.Lock()
_users = 0
_saved: list[tuple[Any, str, Any]] = []
_MISSING = object()


def _replacements() -> Iterator[Replacement]:
    """Yield every replacement: owner, name, and a function that makes the stand-in from the original."""
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
    """Run Ray's autoscaler in `world` within this context, for the calling thread only.

    Raises MissingPrerequisite if the simulator doesn't support the installed Ray.
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
    """Return the names that are replaced now; empty while no simulation runs."""
    with _lock:
        return [(owner, name) for owner, name, _ in _saved]
