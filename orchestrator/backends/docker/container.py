"""A node's container, from its creation to its removal."""

import contextlib
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

import docker
import requests
from docker.errors import DockerException, NotFound
from docker.models.containers import Container

from orchestrator.backends import nodehost
from orchestrator.backends.cloud import CannotStart, MachineLost
from orchestrator.backends.docker.engine import explained

# Ray gives a raylet 30 s to register; the imports before that take long where the CPU limit is low.
START_TIMEOUT_S = 120.0
_END_AFTER_S = int(nodehost.GRACE_S) + 3
# An engine that is being restarted is away for some seconds.
_AWAY_S = 15.0
_KILLED = 137
_LAST_LINES = 20

Away = (requests.RequestException, DockerException, OSError)


class NodeContainer:
    """Made with what `containers.create` takes; it is removed as soon as it has ended. See `cloud.Machine`."""

    def __init__(self, client: docker.DockerClient, options: Mapping[str, Any]) -> None:
        self._client = client
        self._options = dict(options)
        self._lock = threading.Lock()
        self._ended = False
        self._timed_out = False
        self._said: list[str] = []
        self.container: Container | None = None

    def start(self) -> bool:
        """See `Machine.start`. Returns when the node host in it says that Ray runs."""
        with self._lock:
            if self._ended:
                return False
            try:
                self.container = self._client.containers.create(**self._options)
                self.container.start()
            except Away as error:
                self._remove()
                raise CannotStart(explained("starting the container", error).message) from error
        deadline = threading.Timer(START_TIMEOUT_S, self._give_up)
        deadline.start()
        try:
            return self._wait_until_ready(self.container)
        finally:
            deadline.cancel()

    def _wait_until_ready(self, container: Container) -> bool:
        rest = ""
        with contextlib.suppress(*Away):  # `wait` tells what became of it
            for chunk in container.logs(stream=True, follow=True, stderr=False):
                *lines, rest = (rest + chunk.decode(errors="replace")).split("\n")
                if nodehost.READY in lines:
                    return True
        return False

    def _give_up(self) -> None:
        self._timed_out = True
        self.kill()

    def wait(self) -> int:
        """See `Machine.wait`. Raises MachineLost."""
        container = self.container
        if container is None:
            return 0
        lost_at = None
        while True:
            try:
                code = int(container.wait(timeout=None)["StatusCode"])
                break
            except NotFound:
                return _KILLED  # somebody removed it
            except Away as error:
                lost_at = lost_at or time.monotonic()
                if time.monotonic() - lost_at > _AWAY_S:
                    raise MachineLost(f"the Docker engine doesn't answer: {error}") from error
                time.sleep(0.5)
        self._read_last_words(container)
        self._remove()
        return code

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
            with contextlib.suppress(*Away):  # it isn't paused
                container.unpause()
            with contextlib.suppress(*Away):  # it has ended already
                how(container)

    def _read_last_words(self, container: Container) -> None:
        with contextlib.suppress(*Away):
            text = container.logs(tail=_LAST_LINES).decode(errors="replace")
            self._said = [line.strip() for line in text.splitlines() if line.strip()]

    def _remove(self) -> None:
        if self.container is not None:
            with contextlib.suppress(*Away):
                self.container.remove(force=True, v=True)

    def last_words(self) -> str:
        """See `Machine.last_words`."""
        said = next((line for line in reversed(self._said) if line != nodehost.READY), "")
        if self._timed_out:
            said = f"Ray didn't run in it within {START_TIMEOUT_S:g} s" + (f": {said}" if said else "")
        return said[:300]

    def last_lines(self) -> str:
        """All that is kept of what it said."""
        return "\n".join(self._said)

    def address(self) -> str:
        """See `Machine.address`."""
        with contextlib.suppress(*Away, KeyError):
            return str(self.attributes()["NetworkSettings"]["Networks"][self._options["network"]]["IPAddress"])
        return ""

    def attributes(self) -> dict[str, Any]:
        """What the engine says of it now."""
        assert self.container is not None
        self.container.reload()
        return dict(self.container.attrs)
