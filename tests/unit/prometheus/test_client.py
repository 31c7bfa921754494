"""A Prometheus that is busy, refuses, or isn't there: what is tried again, and what the user is told."""

import base64
import math
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from orchestrator.errors import InputError, MissingPrerequisite, OrchestrateError
from orchestrator.prometheus.client import CREDENTIALS_VARIABLE, LONGEST_WAIT_S, Prometheus, take_credentials
from orchestrator.remote_api import ForeignAnswer

NOW = datetime(2026, 5, 1, tzinfo=UTC)
HUNTER = "bob:hunter2"


@dataclass
class Server:
    """Answers with these in turn, the last one again and again: status, text, headers; keeps what was asked."""

    answers: list[tuple[int, str, dict[str, str]]] = field(default_factory=list)
    asked: list[tuple[str, str]] = field(default_factory=list)
    """Path and authorization of each request."""
    url: str = ""

    def will(self, status: int, text: str = "", **headers: str) -> None:
        """Answer so next."""
        self.answers.append((status, text, headers))


@pytest.fixture
def server() -> Iterator[Server]:
    """On a free port."""
    found = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            found.asked.append((self.path, self.headers.get("Authorization", "")))
            status, text, headers = found.answers.pop(0) if len(found.answers) > 1 else found.answers[0]
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name.replace("_", "-"), value)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, format: str, *args: object) -> None:
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=http.serve_forever, args=(0.01,), daemon=True).start()
    found.url = f"http://127.0.0.1:{http.server_address[1]}"
    yield found
    http.shutdown()
    http.server_close()


@pytest.fixture
def slept() -> list[float]:
    """For how long was waited."""
    return []


@pytest.fixture
def prometheus(server: Server, slept: list[float]) -> Prometheus:
    """One behind a server, asked with credentials."""
    return Prometheus(server.url, HUNTER, sleep=slept.append, clock=NOW.timestamp)


def said(error: OrchestrateError) -> str:
    return f"{error.message}\n{error.hint}"


# Tried again


@pytest.mark.parametrize("status", [429, 500, 503])
def test_one_that_is_busy_is_tried_again(
    server: Server, prometheus: Prometheus, slept: list[float], status: int
) -> None:
    server.will(status)
    server.will(status)
    server.will(204)
    prometheus.write(b"x")

    assert len(server.asked) == 3
    assert slept == sorted(slept)
    assert len(slept) == 2


@pytest.mark.parametrize("after", ["7", format_datetime(NOW.replace(second=7), usegmt=True)])
def test_it_is_tried_again_when_the_server_says(
    server: Server, prometheus: Prometheus, slept: list[float], after: str
) -> None:
    server.will(429, Retry_After=after)
    server.will(204)
    prometheus.write(b"x")

    assert slept == [7.0]


def test_one_that_wants_a_long_rest_is_told_of_and_not_waited_for(
    server: Server, prometheus: Prometheus, slept: list[float]
) -> None:
    server.will(503, Retry_After=f"{LONGEST_WAIT_S + 1:.0f}")
    with pytest.raises(MissingPrerequisite, match="busy"):
        prometheus.write(b"x")

    assert slept == []


def test_one_that_stays_busy_is_no_fault_of_the_input(server: Server, prometheus: Prometheus) -> None:
    server.will(503, "Service Unavailable")
    with pytest.raises(MissingPrerequisite, match=r"busy.*503.*Service Unavailable") as caught:
        prometheus.write(b"x")

    assert caught.value.exit_code == 3
    assert caught.value.hint
    assert 1 < len(server.asked) < 10


def test_nobody_there_is_one_clear_line(slept: list[float]) -> None:
    with pytest.raises(MissingPrerequisite, match="no Prometheus answers") as missing:
        Prometheus("http://127.0.0.1:9", sleep=slept.append).write(b"x")

    assert len(missing.value.message.splitlines()) == 1
    assert slept


# Refused


@pytest.mark.parametrize("words", ["too old sample", "out of bounds", "out of order sample"])
@pytest.mark.parametrize("status", [400, 500])
def test_samples_that_are_refused_for_good_are_not_sent_again(
    server: Server, prometheus: Prometheus, words: str, status: int
) -> None:
    """Prometheus 2.42 calls some of them a fault of its own."""
    server.will(status, words)
    with pytest.raises(InputError, match=words) as caught:
        prometheus.write(b"x")

    assert "out_of_order_time_window" in str(caught.value.hint)
    assert "--end-now" in str(caught.value.hint)
    assert len(server.asked) == 1


def test_one_without_a_receiver_is_told_how_it_gets_one(server: Server, prometheus: Prometheus) -> None:
    server.will(404)
    with pytest.raises(MissingPrerequisite, match="accept samples") as caught:
        prometheus.write(b"x")

    assert "--web.enable-remote-write-receiver" in str(caught.value.hint)


def test_a_redirect_is_not_followed_since_it_would_write_nothing(server: Server, prometheus: Prometheus) -> None:
    server.will(302, Location="/login")
    with pytest.raises(MissingPrerequisite, match="redirects"):
        prometheus.write(b"x")

    assert len(server.asked) == 1


def test_what_is_no_prometheus_is_named(server: Server, prometheus: Prometheus) -> None:
    server.will(200, "<html>Welcome</html>")
    with pytest.raises(MissingPrerequisite, match="isn't a Prometheus"):
        prometheus.at("up", 0.0)


def test_a_query_that_cannot_be_evaluated_is_named(server: Server, prometheus: Prometheus) -> None:
    server.will(400, '{"status": "error", "errorType": "bad_data", "error": "parse error"}')
    with pytest.raises(InputError, match="parse error"):
        prometheus.at("up(", 0.0)


# Another server, or a proxy

FOREIGN = [
    "<!doctype html><html>Sign in</html>",
    "not JSON",
    "",
    "7",
    "[]",
    '"a string"',
    '{"status": "well"}',
    '{"status": "success"}',
    '{"status": "success", "data": []}',
    '{"status": "success", "data": {"result": "none"}}',
    '{"status": "success", "data": {"result": ["a series"]}}',
    '{"status": "success", "data": {"result": [{"metric": "up", "value": [1, "2"], "values": []}]}}',
    '{"status": "success", "data": {"result": [{"metric": {}, "value": [1, "two"], "values": [[1]]}]}}',
    '{"status": "error", "error": 5}',
]


@pytest.mark.parametrize("text", FOREIGN)
def test_an_answer_that_no_prometheus_gives_is_one_clear_error(
    server: Server, prometheus: Prometheus, text: str
) -> None:
    server.will(200, text)
    for ask in (lambda: prometheus.at("up", 5), lambda: prometheus.over("up", 5, 6, 1)):
        with pytest.raises(ForeignAnswer, match="answers, but isn't a Prometheus: it answers with") as caught:
            ask()
        assert caught.value.exit_code == 3


def test_a_page_to_sign_in_means_that_nothing_was_written(server: Server, prometheus: Prometheus) -> None:
    server.will(200, FOREIGN[0])
    with pytest.raises(ForeignAnswer, match="a web page"):
        prometheus.write(b"x")


def test_values_are_numbers(server: Server, prometheus: Prometheus) -> None:
    server.will(200, '{"status": "success", "data": {"result": [{"metric": {"a": "b"}, "value": [5, "+Inf"]}]}}')
    infinite = prometheus.at("up", 5)
    server.will(200, '{"status": "success", "data": {"result": [{"metric": {}, "values": [[6.5, "-Inf"]]}]}}')
    server.answers.pop(0)

    assert infinite == [{"metric": {"a": "b"}, "value": (5, math.inf)}]
    (found,) = prometheus.over("up", 5, 6, 1)
    assert found["values"] == [(6.5, -math.inf)]


# Credentials


@pytest.mark.parametrize(
    ("credentials", "sent"),
    [
        ("", ""),
        (HUNTER, "Basic " + base64.b64encode(HUNTER.encode()).decode()),
        ("bob:p:ässword", "Basic " + base64.b64encode("bob:p:ässword".encode()).decode()),
        ("glc_abc=", "Bearer glc_abc="),
    ],
)
def test_credentials_are_a_user_with_a_password_or_a_token(server: Server, credentials: str, sent: str) -> None:
    server.will(204)
    Prometheus(server.url, credentials).write(b"x")

    assert server.asked == [("/api/v1/write", sent)]


@pytest.mark.parametrize("status", [400, 401, 403, 500])
def test_credentials_are_never_shown(server: Server, prometheus: Prometheus, status: int) -> None:
    """Not even by a proxy that quotes the request."""
    server.will(status, f"{HUNTER} hunter2 {base64.b64encode(HUNTER.encode()).decode()}")
    with pytest.raises(OrchestrateError) as caught:
        prometheus.write(b"x")

    assert "hunter2" not in said(caught.value)
    assert base64.b64encode(HUNTER.encode()).decode() not in said(caught.value)


def test_wrong_credentials_are_bad_input_and_missing_ones_are_missing(server: Server, prometheus: Prometheus) -> None:
    server.will(401)
    with pytest.raises(InputError, match="refuses the credentials"):
        prometheus.write(b"x")
    with pytest.raises(MissingPrerequisite, match="asks for credentials") as caught:
        Prometheus(server.url).write(b"x")

    assert CREDENTIALS_VARIABLE in str(caught.value.hint)


def test_credentials_are_taken_out_of_the_environment() -> None:
    environment = {CREDENTIALS_VARIABLE: f" {HUNTER}\n", "PATH": "/bin"}

    assert take_credentials(environment=environment) == HUNTER
    assert environment == {"PATH": "/bin"}
    assert take_credentials(environment=environment) == ""


def test_a_file_with_credentials_stands_above_the_environment(tmp_path: Path) -> None:
    file = tmp_path / "credentials"
    file.write_text("token\n")

    assert take_credentials(file, {CREDENTIALS_VARIABLE: HUNTER}) == "token"


@pytest.mark.parametrize("found", ["two words", "two\nlines", "bob:two\nlines", "tökén"])
def test_what_are_no_credentials_is_refused_and_not_quoted(found: str) -> None:
    with pytest.raises(InputError) as caught:
        take_credentials(environment={CREDENTIALS_VARIABLE: found})

    assert found not in said(caught.value)
