"""An HTTP server for `/metrics`, `/sd` and `/healthz`, on loopback by default.

It shares its process with a sweep, so whatever clients do, it takes a bounded share of memory, connections and time.
"""

import contextlib
import hmac
import ipaddress
import json
import math
import platform
import socket
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
# The longest wait for more of a request, and the longest life of a connection.
_REQUEST_TIMEOUT_S = 10.0
MAX_CONNECTIONS = 64
"""A further connection ends the oldest one."""
_MAX_TEXTS = 8
_LONGEST_ACCEPT = 1000
# Names by which containers reach their host.
_HOST_NAMES = ("localhost", "host.docker.internal", "host.containers.internal", "gateway.docker.internal")
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
        ours = frozenset({*_HOST_NAMES, host.lower(), platform.node().lower()})
        self._server = _Server((host, port), _handler(exporter, _Exposition(exporter, clock), targets, token, ours))
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

    def __init__(self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler]) -> None:
        self._open: dict[socket.socket, float] = {}
        self._answering: set[socket.socket] = set()
        self._ended = threading.Condition()
        super().__init__(address, handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer in a thread; the oldest connection makes room. Those that end slowly count too."""
        with self._ended:
            if not self._ended.wait_for(lambda: len(self._answering) < 2 * MAX_CONNECTIONS, timeout=1.0):
                super().shutdown_request(request)
                return
            self._answering.add(request)
        if len(self._open) >= MAX_CONNECTIONS:
            self._cut(next(iter(self._open)))
        self._open[request] = time.monotonic()
        super().process_request(request, client_address)

    def service_actions(self) -> None:
        """End connections that last too long, such as those that send a byte now and then."""
        now = time.monotonic()
        for request in [each for each, since in list(self._open.items()) if now - since > _REQUEST_TIMEOUT_S]:
            self._cut(request)

    def shutdown_request(self, request: Any) -> None:
        """Forget the connection, and close it."""
        self._open.pop(request, None)
        with self._ended:
            self._answering.discard(request)
            self._ended.notify()
        super().shutdown_request(request)

    def _cut(self, request: socket.socket) -> None:
        """End a connection under its thread, which then closes it."""
        self._open.pop(request, None)
        # not logged: the client may have gone.
        with contextlib.suppress(OSError):
            request.shutdown(socket.SHUT_RDWR)

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
        encode, content_type = choose_encoder(accept if len(accept) <= _LONGEST_ACCEPT else "")
        with self._lock:
            now = self._clock()
            made, body = self._made.get(content_type, (-math.inf, b""))
            if now - made >= FRESH_S:
                body = encode(self._registry)
                if len(self._made) >= _MAX_TEXTS:  # a client can think up any number of content types
                    self._made.clear()
                self._made[content_type] = now, body
        return body, content_type


def _handler(
    exporter: Exporter,
    exposition: _Exposition,
    targets: Callable[[], Iterable[Target]],
    token: str,
    ours: frozenset[str],
) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = _REQUEST_TIMEOUT_S
        # With the default, HTTP/0.9, an unreadable request gets an answer without a status.
        default_request_version = "HTTP/1.0"
        server_version = "orchestrate"
        sys_version = ""

        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            if not (token or all(_is_ours(host, ours) for host in self.headers.get_all("Host", []))):
                problem = b"this host isn't known by that name: use its IP address, or ask for a token\n"
                self._answer(HTTPStatus.MISDIRECTED_REQUEST, problem)
            elif path in ("/metrics", "/sd") and not self._may():
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


def _is_ours(host: str, ours: frozenset[str]) -> bool:
    """Return true for an address, or a name of this machine.

    A web page can let its own name lead to this machine (DNS rebinding), but not these, and no address.
    """
    name = host.strip().lower()
    name = name.partition("]")[0].removeprefix("[") if name.startswith("[") else name.rpartition(":")[0] or name
    if name.removesuffix(".") in ours:
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        # not logged: it is the answer.
        return False
    return True
