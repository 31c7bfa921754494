"""An HTTP server for `/metrics`, `/sd` and `/healthz`, on loopback by default."""

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
# The observer polls twice a second. After this time without a poll it counts as unhealthy.
UNHEALTHY_AFTER_S = 10.0
# The observer polls twice a second. More frequent scrapes learn nothing, and must not slow a trial down.
FRESH_S = 0.25
_REQUEST_TIMEOUT_S = 10.0
# The longest delay of a stop.
_POLL_S = 0.05


class MetricsServer:
    """An HTTP server that answers in its own threads from `start` to `stop`. Raises OSError if the port is taken."""

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
        """Return the address of the server."""
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
    # With the default of 5, further clients of a burst wait for a second.
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore a client that disconnects."""


class _Exposition:
    """The metrics as text. A text older than FRESH_S seconds is generated anew for the next request."""

    def __init__(self, exporter: Exporter, clock: Callable[[], float]) -> None:
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(exporter)
        self._clock = clock
        self._lock = threading.Lock()
        self._made: dict[str, tuple[float, bytes]] = {}

    def answer(self, accept: str) -> tuple[bytes, str]:
        """Return text and content type for an Accept header. Concurrent requests wait and get the same text."""
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
        # With the default, HTTP/0.9, an unreadable request gets an answer without a status.
        default_request_version = "HTTP/1.0"
        server_version = "orchestrate"
        sys_version = ""

        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            if path in ("/metrics", "/sd") and not self._may():
                self._answer(HTTPStatus.UNAUTHORIZED, b"a bearer token is required\n")
            elif path == "/metrics":
                self._answer(HTTPStatus.OK, *exposition.answer(self.headers.get("Accept", "")))
            elif path == "/sd":
                body = json.dumps(as_service_discovery(targets(), exporter.ids)).encode()
                self._answer(HTTPStatus.OK, body, "application/json")
            elif path == "/healthz":
                lag = exporter.lag_s()
                well = lag is not None and lag < UNHEALTHY_AFTER_S
                text = "the cluster is being polled" if well else "no cluster is being polled"
                self._answer(HTTPStatus.OK if well else HTTPStatus.SERVICE_UNAVAILABLE, text.encode() + b"\n")
            elif path == "/":
                self._answer(HTTPStatus.OK, b"orchestrate: /metrics, /sd, /healthz\n")
            else:
                self._answer(HTTPStatus.NOT_FOUND, b"not found; use /metrics, /sd or /healthz\n")

        def __getattr__(self, name: str) -> Callable[[], None]:
            """Return the handler of a method: HEAD is GET without a body; all others are refused."""
            if name == "do_HEAD":
                return self.do_GET
            if not name.startswith("do_"):
                raise AttributeError(name)
            return lambda: self._answer(HTTPStatus.METHOD_NOT_ALLOWED, b"use GET\n")

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
            """Suppress the log line of each scrape."""

    return Handler
