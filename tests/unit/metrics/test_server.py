"""The metrics over HTTP, on a real port of loopback: whatever a client sends, it gets an answer and nobody waits."""

import itertools
import json
import platform
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPMessage
from urllib.parse import urlsplit

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from orchestrator.metrics import server as server_module
from orchestrator.metrics.discovery import Target
from orchestrator.metrics.exporter import LONGEST_LINGER_S, Exporter
from orchestrator.metrics.server import (
    DEFAULT_HOST,
    FRESH_S,
    MAX_CONNECTIONS,
    UNHEALTHY_AFTER_S,
    MetricsServer,
    _Exposition,
)
from orchestrator.model.snapshot import Snapshot
from orchestrator.observer.node_tracker import NodeTraits
from orchestrator.observer.observer import Observer
from tests.support.builders import T0, life, trial

OPENMETRICS = "application/openmetrics-text; version=1.0.0"
# What Prometheus 2.42 sends.
PROMETHEUS_ACCEPT = f"{OPENMETRICS},application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5"
TIMEOUT_S = 5.0


class EmptyCluster:
    """A cluster without a node, seen at `T0`."""

    def poll(self) -> Snapshot:
        return Snapshot(t=T0)


@dataclass
class Answer:
    """What a client got."""

    status: int
    headers: HTTPMessage
    body: str


@dataclass
class Served:
    """An exporter of one trial behind a server, and what the test moves: time, observers, targets.

    `ticks` are seconds of the server's own clock, by default so many that each scrape is a new one.
    """

    now: float = T0
    ticks: Iterator[float] = field(default_factory=lambda: itertools.count(0.0, FRESH_S))
    observer: Observer | None = None
    targets: list[Target] = field(default_factory=list)
    token: str = ""
    host: str = ""
    port: int = 0

    def __post_init__(self) -> None:
        self.exporter = Exporter("c0ffee00", observer=lambda: self.observer, clock=lambda: self.now)

    @contextmanager
    def running(self) -> Iterator[None]:
        clock = lambda: next(self.ticks)  # noqa: E731
        with MetricsServer(self.exporter, lambda: self.targets, port=0, token=self.token, clock=clock) as server:
            where = urlsplit(server.url)
            self.host, self.port = where.hostname or "", where.port or 0
            yield

    def ask(self, path: str, method: str = "GET", body: bytes | None = None, **headers: str) -> Answer:
        """One request, as a well-behaved client sends it."""
        connection = HTTPConnection(self.host, self.port, timeout=TIMEOUT_S)
        try:
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            return Answer(response.status, response.headers, response.read().decode())
        finally:
            connection.close()

    def say(self, words: bytes) -> bytes:
        """Send these very bytes; all that comes back."""
        with socket.create_connection((self.host, self.port), timeout=TIMEOUT_S) as connection:
            connection.sendall(words)
            return b"".join(iter(lambda: connection.recv(65536), b""))


@pytest.fixture(scope="module")
def one_server() -> Iterator[Served]:
    """To end one takes half a second."""
    served = Served()
    with served.running():
        yield served


@pytest.fixture
def served(one_server: Served) -> Served:
    """A server as new: one node is being launched, nobody watches, nothing can be scraped."""
    one_server.now, one_server.observer, one_server.targets = T0, None, []
    one_server.exporter.trial_started(1, 1, trial(upscaling_speed=5))
    for event in life("n1", requested=1, allocated=2):
        one_server.exporter.event(event)
    return one_server


def watched() -> Observer:
    """An observer whose newest look was at `T0`."""
    observer = Observer(EmptyCluster(), lambda *_: NodeTraits("x86_64"), host=None)
    observer.step()
    return observer


# What there is


def test_metrics_are_prometheus_text(served: Served) -> None:
    answer = served.ask("/metrics")
    found = {family.name: family for family in parse_text(answer.body)}

    assert answer.status == 200
    assert answer.headers["Content-Type"].startswith("text/plain; version=")
    assert found["orchestrator_nodes"].type == "gauge"
    assert found["orchestrator_scaling_events"].type == "counter"


@pytest.mark.parametrize("accept", [OPENMETRICS, PROMETHEUS_ACCEPT])
def test_metrics_are_openmetrics_for_who_asks_for_them(served: Served, accept: str) -> None:
    answer = served.ask("/metrics", Accept=accept)
    found = {family.name: family for family in parse_openmetrics(answer.body)}  # type: ignore[no-untyped-call]

    assert answer.status == 200
    assert answer.headers["Content-Type"].startswith("application/openmetrics-text; version=1.0.0")
    assert answer.body.endswith("# EOF\n")
    assert found["orchestrator_trial_phase"].type == "gauge"


def test_each_scrape_is_of_now(served: Served) -> None:
    before = served.ask("/metrics").body
    served.exporter.trial_ended(trial(upscaling_speed=5), None, "")
    served.now += LONGEST_LINGER_S

    assert "orchestrator_nodes{" in before
    assert served.ask("/metrics").body == ""


def test_who_asks_again_at_once_gets_the_same_text() -> None:
    served = Served(ticks=iter([10.0, 10.0 + 0.9 * FRESH_S, 10.0 + 0.9 * FRESH_S, 10.0 + FRESH_S]))
    with served.running():
        first = served.ask("/metrics").body
        served.exporter.trial_started(1, 1, trial(upscaling_speed=5))
        again, other_form = served.ask("/metrics").body, served.ask("/metrics", Accept=OPENMETRICS).body
        later = served.ask("/metrics").body

    assert first == again
    assert "trial_info" not in first
    assert "trial_info" in other_form
    assert "trial_info" in later


def test_a_query_is_passed_over(served: Served) -> None:
    assert served.ask("/metrics?since=1").body == served.ask("/metrics").body


def test_targets_are_told_with_the_ids_of_the_trial_that_runs(served: Served) -> None:
    served.targets = [Target("127.0.0.1:8080", {"arch": "arm64", "instance_type": ""})]
    answer = served.ask("/sd")

    assert answer.status == 200
    assert answer.headers["Content-Type"] == "application/json"
    assert json.loads(answer.body) == [
        {
            "targets": ["127.0.0.1:8080"],
            "labels": {
                "sweep_id": "c0ffee00",
                "trial_id": trial(upscaling_speed=5).trial_id,
                "arch": "arm64",
            },
        }
    ]


def test_without_targets_the_list_is_empty(served: Served) -> None:
    assert json.loads(served.ask("/sd").body) == []


@pytest.mark.parametrize(("late_s", "status"), [(0.0, 200), (UNHEALTHY_AFTER_S - 0.1, 200), (UNHEALTHY_AFTER_S, 503)])
def test_it_is_healthy_while_the_cluster_is_looked_at(served: Served, late_s: float, status: int) -> None:
    served.observer = watched()
    served.now = T0 + late_s

    assert served.ask("/healthz").status == status


def test_without_a_cluster_it_is_not_healthy(served: Served) -> None:
    answer = served.ask("/healthz")

    assert (answer.status, answer.body) == (503, "no cluster is being polled\n")


def test_the_root_says_what_there_is(served: Served) -> None:
    answer = served.ask("/")

    assert (answer.status, answer.body) == (200, "orchestrate: /metrics, /sd, /healthz\n")


@pytest.mark.parametrize("path", ["/metrics", "/sd", "/healthz", "/", "/nowhere"])
def test_head_is_get_without_the_body(served: Served, path: str) -> None:
    served.observer = watched()
    asked, told = served.ask(path, "HEAD"), served.ask(path)

    assert asked.body == ""
    assert (asked.status, asked.headers["Content-Type"]) == (told.status, told.headers["Content-Type"])
    assert asked.headers["Content-Length"] == str(len(told.body.encode()))


# What there isn't


@pytest.mark.parametrize("path", ["/nowhere", "/metrics/", "/metricsx", "/metrics/x", "/../etc/passwd", "/%6Detrics"])
def test_other_paths_are_not_found(served: Served, path: str) -> None:
    assert served.ask(path).status == 404


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH", "FOO", "get"])
@pytest.mark.parametrize("body", [None, b"x" * 1000])
def test_other_methods_are_not_allowed(served: Served, method: str, body: bytes | None) -> None:
    answer = served.ask("/metrics", method, body)

    assert answer.status == 405
    assert answer.headers["Allow"] == "GET, HEAD"


@pytest.mark.parametrize(
    "request_line",
    [
        b"GARBAGE",
        b"GET",
        b"FOO /metrics",
        b"GET / /metrics HTTP/1.1",
        b"GET /metrics FTP/1.1",
        b"GET /metrics HTTP/1.x",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"\xff\xfe\xfd",
    ],
)
def test_a_malformed_request_line_is_a_bad_request(served: Served, request_line: bytes) -> None:
    assert served.say(request_line + b"\r\n\r\n").split(b"\r\n")[0].startswith(b"HTTP/1.0 400 ")


@pytest.mark.parametrize(
    ("words", "status"),
    [
        (b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\n\r\n", b"414"),
        (b"GET /metrics HTTP/1.1\r\n" + b"a: b\r\n" * 200 + b"\r\n", b"431"),
        (b"GET /metrics HTTP/1.1\r\na: " + b"b" * 70_000 + b"\r\n\r\n", b"431"),
    ],
)
def test_what_is_too_long_is_refused(served: Served, words: bytes, status: bytes) -> None:
    assert served.say(words).split(b" ")[1] == status


def test_an_answer_to_a_malformed_request_repeats_none_of_its_markup(served: Served) -> None:
    body = served.say(b"GET /<script> <script>\r\n\r\n").partition(b"\r\n\r\n")[2]

    assert b"&lt;script&gt;" in body
    assert b"<script>" not in body


def test_it_does_not_say_what_it_runs_on(served: Served) -> None:
    assert served.ask("/metrics").headers["Server"].strip() == "orchestrate"


# Clients that behave badly


def test_clients_that_say_nothing_keep_nobody_waiting(served: Served) -> None:
    with ExitStack() as silent:
        for words in (b"", b"GET /met", b"GET /metrics HTTP/1.1\r\nHost: x\r\n"):
            for _ in range(5):
                connection = silent.enter_context(socket.create_connection((served.host, served.port), TIMEOUT_S))
                connection.sendall(words)

        assert served.ask("/metrics").status == 200


def test_clients_that_go_away_leave_no_trace(served: Served, capfd: pytest.CaptureFixture[str]) -> None:
    for words in (b"", b"GET /metrics HT", b"GET /metrics HTTP/1.1\r\n\r\n"):
        with socket.create_connection((served.host, served.port), TIMEOUT_S) as connection:
            # On close the connection is reset, not ended.
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
            connection.sendall(words)

    assert served.ask("/metrics").status == 200
    assert capfd.readouterr() == ("", "")


# Beginning and end


def test_it_listens_on_one_address_of_loopback_only(served: Served) -> None:
    assert served.host == DEFAULT_HOST == "127.0.0.1"
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.2", served.port), TIMEOUT_S)


def test_a_port_that_is_taken_is_an_error(served: Served) -> None:
    with pytest.raises(OSError, match="Address already in use"):
        MetricsServer(served.exporter, port=served.port)


def test_after_the_end_the_port_is_free(served: Served) -> None:
    again = Served()
    with again.running():
        assert again.ask("/").status == 200

    with pytest.raises(ConnectionRefusedError):
        again.ask("/")
    with MetricsServer(served.exporter, port=again.port) as server:
        assert server.url == f"http://127.0.0.1:{again.port}"


def test_the_end_does_not_wait_for_a_silent_client() -> None:
    served = Served()
    with ExitStack() as silent:
        with served.running():
            silent.enter_context(socket.create_connection((served.host, served.port), TIMEOUT_S))
            assert served.ask("/").status == 200
            start = time.monotonic()

        assert time.monotonic() - start < TIMEOUT_S


@pytest.mark.parametrize("path", ["/metrics", "/sd"])
@pytest.mark.parametrize("given", [None, "Bearer wrong", "Basic c2VjcmV0", "secret", "Bearer", "Bearer s\xe9cret"])
def test_without_the_token_nobody_reads(path: str, given: str | None) -> None:
    served = Served(token="secret")
    with served.running():
        headers: dict[str, str] = {} if given is None else {"Authorization": given}
        answer = served.ask(path, "GET", None, **headers)

    assert answer.status == 401
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert "orchestrator_" not in answer.body


def test_with_the_token_one_reads_and_whether_all_is_well_is_no_secret() -> None:
    served = Served(token="secret")
    with served.running():
        statuses = [served.ask(path, Authorization="Bearer secret").status for path in ("/metrics", "/sd")]
        assert statuses == [200, 200]
        assert served.ask("/healthz").status == 503


# Bounded, whatever clients do


@pytest.mark.parametrize("host", ["evil.example", "evil.example:9477", "127.0.0.1.evil.example", "localhost.evil", ""])
@pytest.mark.parametrize("path", ["/metrics", "/sd", "/healthz", "/"])
def test_a_web_page_that_gave_its_name_to_this_machine_reads_nothing(served: Served, host: str, path: str) -> None:
    answer = served.ask(path, Host=host)

    assert answer.status == 421
    assert "orchestrator_" not in answer.body


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1:9477", "localhost", "LOCALHOST:9477", "localhost.", "[::1]:9477", "[::1]", "10.0.0.5:9477",
     "host.docker.internal:9477", platform.node()],
)  # fmt: skip
def test_addresses_and_names_of_this_machine_are_answered(served: Served, host: str) -> None:
    assert served.ask("/metrics", Host=host).status == 200


def test_with_a_token_any_name_is_answered() -> None:
    served = Served(token="s3cret")
    with served.running():
        assert served.ask("/metrics", Host="lab.example", Authorization="Bearer s3cret").status == 200
        assert served.ask("/metrics", Host="evil.example").status == 401


@pytest.mark.parametrize("accept", ["application/openmetrics-text; version=1.0.{}", "text/plain; version=0.0.{}", "{}"])
def test_content_types_that_a_client_thinks_up_are_not_kept(accept: str) -> None:
    exporter = Exporter("c0ffee00")
    exposition = _Exposition(exporter, lambda: 0.0)
    for number in range(100):
        exposition.answer(accept.format(number))

    assert len(exposition._made) <= 8


def test_more_connections_than_it_takes_do_not_keep_others_from_it(served: Served) -> None:
    with ExitStack() as silent:
        for _ in range(3 * MAX_CONNECTIONS):
            connection = silent.enter_context(socket.create_connection((served.host, served.port), TIMEOUT_S))
            connection.sendall(b"GET /metrics HTTP/1.1\r\nX")
        answer = served.ask("/metrics")
        threads = [each for each in threading.enumerate() if "process_request_thread" in each.name]

    assert answer.status == 200
    assert len(threads) <= 2 * MAX_CONNECTIONS


def test_a_client_that_sends_a_byte_now_and_then_is_cut_off(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "_REQUEST_TIMEOUT_S", 0.2)
    with socket.create_connection((served.host, served.port), TIMEOUT_S) as slow:
        slow.sendall(b"GET /metrics HTTP/1.1\r\nX")
        slow.sendall(b"a")

        assert slow.recv(1) == b""
