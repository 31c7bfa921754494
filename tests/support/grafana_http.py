"""The HTTP of the stand-in for Grafana: it answers as it is told to, and fails on request as servers and proxies do."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal, Protocol
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Says:
    """Answer 200 with this as JSON."""

    body: Any


# An HTTP status; or close the connection before or after doing what was asked; or don't answer at all.
Fault = int | Says | Literal["drop", "done, then drop", "silence", "a web page", "redirect"]


class Api(Protocol):
    """What is behind the server."""

    def answer(self, method: str, path: str, headers: Any, raw: bytes) -> tuple[int, Any]:
        """Status and body."""
        ...


def serving(api: Api, fault_of: Callable[[str, str], Fault | None], released: threading.Event) -> ThreadingHTTPServer:
    """A server on a port of its own, not yet running; who is met with silence waits until it is `released`."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1  # head and body in one packet: in two they cost 40 ms of Nagle's algorithm

        def _serve(self) -> None:
            raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            path = urlsplit(self.path).path
            fault = fault_of(self.command, path)
            if fault == "silence":
                released.wait()
            if fault in ("drop", "silence"):
                self.close_connection = True
                return
            if fault == "redirect":
                self._say(301, b"", "text/html", Location=f"https://elsewhere.example{self.path}?secret=1")
            elif fault == "a web page":
                self._say(200, b"<html>Welcome</html>", "text/html")
            elif isinstance(fault, Says):
                self._say(200, json.dumps(fault.body).encode(), "application/json")
            elif isinstance(fault, int):
                # A proxy that quotes the request, as some do.
                text = json.dumps({"message": f"upstream failed for {self.headers.get('Authorization')}"})
                self._say(fault, text.encode(), "application/json")
            else:
                status, body = api.answer(self.command, path, self.headers, raw)
                if fault == "done, then drop":
                    self.close_connection = True
                    return
                self._say(status, json.dumps(body).encode(), "application/json")

        do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = _serve  # noqa: N815

        def _say(self, status: int, body: bytes, kind: str, **headers: str) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: Any, client_address: Any) -> None:
            """A client that has gone away is no fault of ours."""

    return Server(("127.0.0.1", 0), Handler)


@contextmanager
def nobody_listens() -> Iterator[str]:
    """The URL of a port that refuses connections for as long as this lasts."""
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, and never listening
        yield f"http://127.0.0.1:{taken.getsockname()[1]}"
