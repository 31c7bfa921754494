"""Serves `/metrics`, `/sd` and `/healthz` over HTTP, on loopback unless told otherwise."""

import hmac
import json
import math
import threading
import time
from collections.abc import Callable, Iterable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import CollectorRegistry

from orchestrator.metrics.discovery import Target, as_service_discovery
from orchestrator.metrics.exporter import Exporter

DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 9477
# An observer that looks twice a second is ill when it hasn't for so long.
UNHEALTHY_AFTER_S = 10.0
# An observer looks twice a second: who asks more often than that learns nothing more, and must not slow a trial down.
FRESH_S = 0.25
_REQUEST_TIMEOUT_S = 10.0
# How long the end may take.
_POLL_S = 0.05


class MetricsServer:
    """Answers in threads of its own from `start` to `stop`. Raises OSError if the port is taken."""

    def __init__(
        self,
        exporter: Exporter,
        targets: Callable[[], Iterable[Target]] = lambda: (),
        *,
        host: str = DEFAULT_HOST,
        port: int = DEFAULT_PORT,
        token: str = "",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._server = _Server((host, port), _handler(exporter, _Exposition(exporter, clock), targets, token))
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(_POLL_S,), name="orchestrate-metrics", daemon=True
        )

    @property
    def url(self) -> str:
        """The address of the server."""
        host, port = self._server.server_address[:2]
        return f"http://{host!s}:{port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    # The default of 5 makes each client of a burst beyond them wait for a second.
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore a client that goes away."""


class _Exposition:
    """The metrics as text, made anew for who asks when the last one of that form is older than FRESH_S seconds."""

    def __init__(self, exporter: Exporter, clock: Callable[[], float]) -> None:
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(exporter)
        self._clock = clock
        self._lock = threading.Lock()
        self._made: dict[str, tuple[float, bytes]] = {}

    def answer(self, accept: str) -> tuple[bytes, str]:
        """Text and content type for an Accept header; who asks meanwhile waits, and gets the same."""
        encode, content_type = choose_encoder(accept)
        with self._lock:
            now = self._clock()
            made, body = self._made.get(content_type, (-math.inf, b""))
            if now - made >= FRESH_S:
                body = encode(self._registry)
                self._made[content_type] = now, body
        return body, content_type


def _handler(
    exporter: Exporter, exposition: _Exposition, targets: Callable[[], Iterable[Target]], token: str
) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = _REQUEST_TIMEOUT_S
        # Of HTTP/0.9, its own default, a request that can't be read gets an answer without a status.
        default_request_version = "HTTP/1.0"
        server_version = "orchestrate"
        sys_version = ""

        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            if path in ("/metrics", "/sd") and not self._may():
                self._answer(HTTPStatus.UNAUTHORIZED, b"a bearer token is needed\n")
            elif path == "/metrics":
                self._answer(HTTPStatus.OK, *exposition.answer(self.headers.get("Accept", "")))
            elif path == "/sd":
                body = json.dumps(as_service_discovery(targets(), exporter.ids)).encode()
                self._answer(HTTPStatus.OK, body, "application/json")
            elif path == "/healthz":
                lag = exporter.lag_s()
                well = lag is not None and lag < UNHEALTHY_AFTER_S
                text = "the cluster is looked at" if well else "no cluster is looked at now"
                self._answer(HTTPStatus.OK if well else HTTPStatus.SERVICE_UNAVAILABLE, text.encode() + b"\n")
            elif path == "/":
                self._answer(HTTPStatus.OK, b"orchestrate: /metrics, /sd, /healthz\n")
            else:
                self._answer(HTTPStatus.NOT_FOUND, b"there are /metrics, /sd and /healthz\n")

        def __getattr__(self, name: str) -> Callable[[], None]:
            """HEAD is GET without a body; any other method is refused, known or not."""
            if name == "do_HEAD":
                return self.do_GET
            if not name.startswith("do_"):
                raise AttributeError(name)
            return lambda: self._answer(HTTPStatus.METHOD_NOT_ALLOWED, b"only GET\n")

        def _may(self) -> bool:
            given = self.headers.get("Authorization", "").encode("utf-8", "surrogateescape")
            return not token or hmac.compare_digest(given, f"Bearer {token}".encode())

        def _answer(self, status: HTTPStatus, body: bytes, content_type: str = "text/plain; charset=utf-8") -> None:
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            if status == HTTPStatus.METHOD_NOT_ALLOWED:
                self.send_header("Allow", "GET, HEAD")
            if status == HTTPStatus.UNAUTHORIZED:
                self.send_header("WWW-Authenticate", "Bearer")
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Scrapes are no news."""

    return Handler
