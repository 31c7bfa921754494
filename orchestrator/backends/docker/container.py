"""A node's container, from its creation to its removal."""

import logging
import math
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import docker
from docker.errors import NotFound
from docker.models.containers import Container

from orchestrator.backends.live import node_process
from orchestrator.backends.live.cloud import CannotStart, MachineLost
from orchestrator.docker_errors import ENGINE_ERRORS, explained, is_connection_lost
from orchestrator.logs import suppressed

_log = logging.getLogger(__name__)

# Ray gives a raylet 30 s to register; the imports before that take long where the CPU limit is low.
START_TIMEOUT_S = 120.0
_END_AFTER_S = int(node_process.GRACE_S) + 3
# An engine that is being restarted is away for some seconds.
AWAY_S = 15.0
_ASK_AGAIN_S = 0.5
_KILLED = 137
_LAST_LINES = 20

Answer = TypeVar("Answer")


class NodeContainer:
    """A `Machine` in a container. `options` are those of `containers.create`. It is removed as soon as it has ended."""

    def __init__(
        self,
        client: docker.DockerClient,
        options: Mapping[str, Any],
        *,
        start_timeout_s: float | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._client = client
        self._options = dict(options)
        self._start_timeout_s = START_TIMEOUT_S if start_timeout_s is None else start_timeout_s
        self._clock = clock
        self._sleep = sleep
        self._lock = threading.Lock()
        self._ended = False
        self._timed_out = False
        self._said: list[str] = []
        self.container: Container | None = None

    def start(self) -> bool:
        """See `Machine.start`. Return when its node process says that Ray runs."""
        with self._lock:
            if self._ended:
                return False
            try:
                self.container = self._client.containers.create(**self._options)
                self.container.start()
            except ENGINE_ERRORS as error:
                self._remove()
                fault = explained("starting the container", error)
                # What the engine refuses this node it refuses others; a connection may be back for the next.
                raise CannotStart(fault.message) from (error if is_connection_lost(error) else fault)
        deadline = threading.Timer(self._start_timeout_s, self._give_up)
        deadline.start()
        try:
            # The engine may not answer to the kill at the deadline either.
            return self._patiently(self.container, _says_ready, self._start_timeout_s + AWAY_S) or False
        finally:
            deadline.cancel()

    def _give_up(self) -> None:
        self._timed_out = True
        self.kill()

    def wait(self) -> int:
        """See `Machine.wait`. Raises MachineLost."""
        container = self.container
        if container is None:
            return 0
        answer = self._patiently(container, lambda container: container.wait(timeout=None))
        if answer is None:
            return _KILLED
        self._read_last_words(container)
        self._remove()
        return int(answer["StatusCode"])

    def _patiently(
        self, container: Container, ask: Callable[[Container], Answer], timeout_s: float = math.inf
    ) -> Answer | None:
        """Return the engine's answer, even if it is away for a moment; None if the container was removed.

        Raises MachineLost, also if the engine still fails after `timeout_s`.
        """
        deadline = self._clock() + timeout_s
        while True:
            try:
                return ask(container)
            except NotFound:
                # not logged: the container is gone, which is the answer.
                return None
            except ENGINE_ERRORS as error:
                if not is_connection_lost(error) or self._clock() > deadline:
                    raise _lost(container, error) from error
                # Without a traceback: if the engine stays away, the error that follows has it.
                _log.warning("the Docker engine doesn't answer, asking again: %s", error)
                self._wait_for_engine(container, error)
            if self._ended:  # the engine may not have heard of it
                self.kill()

    def _wait_for_engine(self, container: Container, error: Exception) -> None:
        """Return once it answers again. Raises MachineLost."""
        deadline = self._clock() + AWAY_S
        while self._clock() < deadline:
            self._sleep(_ASK_AGAIN_S)
            with suppressed(_log, "waiting for the Docker engine", *ENGINE_ERRORS):
                with suppressed(_log, "the container has ended", NotFound):
                    container.reload()
                return
        raise _lost(container, error) from error

    def end(self) -> None:
        """See `Machine.end`."""
        self._stop(lambda container: container.stop(timeout=_END_AFTER_S))

    def kill(self) -> None:
        """See `Machine.kill`."""
        self._stop(lambda container: container.kill())

    def _stop(self, how: Callable[[Container], None]) -> None:
        with self._lock:
            self._ended, container = True, self.container
        if container is not None:
            with suppressed(_log, "resuming a container that may not be paused", *ENGINE_ERRORS):
                container.unpause()
            with suppressed(_log, "ending a container that may have ended", *ENGINE_ERRORS):
                how(container)

    def _read_last_words(self, container: Container) -> None:
        with suppressed(_log, "reading the last lines of a container", *ENGINE_ERRORS):
            text = container.logs(tail=_LAST_LINES).decode(errors="replace")
            self._said = [line.strip() for line in text.splitlines() if line.strip()]

    def _remove(self) -> None:
        if self.container is not None:
            with suppressed(_log, "removing a container", *ENGINE_ERRORS):
                self.container.remove(force=True, v=True)

    def last_words(self) -> str:
        """See `Machine.last_words`."""
        said = next((line for line in reversed(self._said) if line != node_process.READY), "")
        if self._timed_out:
            said = f"Ray didn't run in it within {self._start_timeout_s:g} s" + (f": {said}" if said else "")
        return said[:300]

    def last_lines(self) -> str:
        """Return the end of its output."""
        return "\n".join(self._said)

    def address(self) -> str:
        """See `Machine.address`."""
        with suppressed(_log, "asking for the address of a container", *ENGINE_ERRORS, KeyError):
            return str(self.attributes()["NetworkSettings"]["Networks"][self._options["network"]]["IPAddress"])
        return ""

    def attributes(self) -> dict[str, Any]:
        """Return its present attributes from the engine."""
        assert self.container is not None
        self.container.reload()
        return dict(self.container.attrs)


def _lost(container: Container, error: Exception) -> MachineLost:
    return MachineLost(explained(f"waiting for the container {container.name}", error).message)


def _says_ready(container: Container) -> bool:
    """Follow the container's output from its beginning until its node process says that Ray runs, or it has ended."""
    rest = ""
    for chunk in container.logs(stream=True, follow=True, stderr=False):
        *lines, rest = (rest + chunk.decode(errors="replace")).split("\n")
        if node_process.READY in lines:
            return True
    return False
