"""The stand-ins of one simulation, and the thread in which they are active."""

import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from orchestrator.errors import OrchestrateError
from orchestrator.rayapi.virtual.world import World


class AutoscalerRaised(OrchestrateError):
    """Ray's autoscaler raised an exception that Ray would only log. A simulation ignores no exception."""


class Session:
    """The stand-ins of one simulation. They are active in the thread that runs it, while it runs."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.errors: list[BaseException] = []
        self.executors: Callable[..., Any] | None = None
        self.fast = False

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Record exceptions within this context: Ray treats any exception there as a refusal by the cloud."""
        try:
            yield
        except Exception as error:
            self.errors.append(error)
            raise

    def raise_errors(self) -> None:
        """Raise the first exception that Ray has caught and logged since the last call, as AutoscalerRaised."""
        if self.errors:
            error = self.errors[0]
            self.errors = []
            text = (str(error).splitlines() or [""])[0][:200]
            raise AutoscalerRaised(f"Ray's autoscaler failed in the simulation: {type(error).__name__}: {text}") from (
                error
            )


class _Current(threading.local):
    session: Session | None = None


_current = _Current()


def in_simulation(session_does: Callable[..., Any]) -> Callable[[Any], Any]:
    """Return a replacement that calls `session_does(session, real, *args)` in a simulation, else the original."""

    def replace(real: Any) -> Any:
        def dispatch(*args: Any, **more: Any) -> Any:
            session = _current.session
            return real(*args, **more) if session is None else session_does(session, real, *args, **more)

        return dispatch

    return replace


def active_session() -> Session | None:
    """Return the simulation of the calling thread, or None."""
    return _current.session


class VirtualExecutor:
    """A thread pool in virtual time: `workers` jobs at once, each of which runs at the end of its service time.

    `service(function, args)` returns seconds of virtual time, and the function to run at their end.
    """

    def __init__(
        self,
        session: Session,
        workers: int,
        service: Callable[[Any, tuple[Any, ...]], tuple[float, Callable[..., Any]]],
    ) -> None:
        self._session = session
        self._idle = workers
        self._service = service
        self._waiting: deque[tuple[Any, tuple[Any, ...], _Future]] = deque()

    def submit(self, function: Any, *args: Any) -> "_Future":
        """Queue a job."""
        future = _Future()
        self._waiting.append((function, args, future))
        self._start()
        return future

    def _start(self) -> None:
        while self._waiting and self._idle:
            self._idle -= 1
            function, args, future = self._waiting.popleft()
            seconds, job = self._service(function, args)
            if seconds > 0:
                self._session.world.call_later(seconds, partial(self._end, job, args, future))
            else:
                self._end(job, args, future)

    def _end(self, job: Callable[..., Any], args: tuple[Any, ...], future: "_Future") -> None:
        try:
            job(*args)
        except Exception as error:  # Ray never reads the results of some futures
            # not logged: `raise_errors` raises it in the simulation's own thread.
            self._session.errors.append(error)
            future.error = error
        self._idle += 1
        future.finish()
        self._start()


class _Future:
    def __init__(self) -> None:
        self.error: BaseException | None = None
        self._done = False
        self._callbacks: list[Callable[[Any], None]] = []

    def finish(self) -> None:
        self._done = True
        for callback in self._callbacks:
            callback(self)

    def add_done_callback(self, callback: Callable[[Any], None]) -> None:
        if self._done:
            callback(self)
        else:
            self._callbacks.append(callback)

    def result(self) -> None:
        if self.error is not None:
            raise self.error


Replacement = tuple[Any, str, Callable[[Any], Any]]
