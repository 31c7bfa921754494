"""A Docker engine that does what a test says: the few calls of the SDK that a node's container makes, and no others."""

import threading
from collections.abc import Callable, Iterator
from typing import Any

import requests
from docker.errors import APIError, NotFound

TIMEOUT_S = 10.0
GONE = requests.ConnectionError("Connection aborted.")


def refused(status: int, said: str) -> APIError:
    """What the SDK raises where the engine says no."""
    response = requests.Response()
    response.status_code = status
    return (NotFound if status == 404 else APIError)(said, response, said)


def not_found() -> APIError:
    """Somebody removed it."""
    return refused(404, "no such container")


class FakeContainer:
    """Says `chunks` on stdout and runs until `end` is called; `errors` holds what calls raise, one after another."""

    name = "orchestrate-c0ffee00-abcdef01"

    def __init__(self, *chunks: bytes) -> None:
        self.chunks = list(chunks)
        self.said = b"".join(chunks)
        self.errors: dict[str, list[Exception]] = {}
        self.attrs: dict[str, Any] = {
            "NetworkSettings": {"Networks": {"orchestrate-c0ffee00": {"IPAddress": "10.0.0.7"}}}
        }
        self.calls: list[str] = []
        self.paused = False
        self.code = 0
        self.over = threading.Event()
        self.following = threading.Event()

    def end(self, code: int = 0) -> None:
        self.code = code
        self.over.set()

    def _call(self, name: str) -> None:
        self.calls.append(name)
        if self.errors.get(name):
            raise self.errors[name].pop(0)

    def start(self) -> None:
        self._call("start")

    def logs(
        self, *, stream: bool = False, follow: bool = False, stderr: bool = True, tail: int | None = None
    ) -> Iterator[bytes] | bytes:
        if not stream:
            self._call("logs")
            return b"\n".join(self.said.splitlines()[-(tail or 0) :])
        assert follow, "the log ends where the container is now"
        assert not stderr, "what a library prints there may look like anything"
        return self._follow()

    def _follow(self) -> Iterator[bytes]:
        self._call("follow")
        yield from self.chunks
        self.following.set()
        assert self.over.wait(TIMEOUT_S), "it was never ended"

    def wait(self, *, timeout: float | None) -> dict[str, Any]:
        assert timeout is None, "a container runs for as long as it likes"
        self._call("wait")
        assert self.over.wait(TIMEOUT_S), "it was never ended"
        return {"StatusCode": self.code}

    def reload(self) -> None:
        self._call("reload")

    def unpause(self) -> None:
        self._call("unpause")
        if not self.paused:
            raise refused(409, "is not paused")
        self.paused = False

    def stop(self, *, timeout: int) -> None:
        assert timeout > 0
        self._call("stop")
        self._end_by(0)

    def kill(self) -> None:
        self._call("kill")
        self._end_by(137)

    def _end_by(self, code: int) -> None:
        if self.paused:
            raise refused(409, "is paused: unpause the container first")
        if self.over.is_set():
            raise refused(409, "is not running")
        self.end(code)

    def remove(self, *, force: bool, v: bool) -> None:
        assert force
        assert v
        self._call("remove")


class FakeClient:
    """An engine whose one container is given; `create` may raise `refusal`, and `during_create` is called meanwhile."""

    def __init__(self, container: FakeContainer, refusal: Exception | None = None) -> None:
        self.container = container
        self.refusal = refusal
        self.created: list[dict[str, Any]] = []
        self.during_create: Callable[[], None] = lambda: None

    @property
    def containers(self) -> "FakeClient":
        return self

    def create(self, **options: Any) -> FakeContainer:
        self.created.append(options)
        self.during_create()
        if self.refusal is not None:
            raise self.refusal
        return self.container
