"""HTTP to a user's server: addresses, attempts, and errors without secrets."""

import pytest
import requests

from orchestrator.errors import InputError, MissingPrerequisite
from orchestrator.remote_api import (
    ForeignAnswer,
    Server,
    Transient,
    Unreachable,
    cause_of,
    parse_address,
    send,
    travels_openly,
)

SERVER = Server("Grafana", "http://grafana", ("s3cret", ""), "[token]")
TYPED = ("--to", "https://prometheus.example.com", "put it into a variable")


@pytest.mark.parametrize(
    ("typed", "address"),
    [
        ("https://prometheus.example.com/", "https://prometheus.example.com"),
        (" http://localhost:9090 ", "http://localhost:9090"),
        ("https://example.com/prometheus/", "https://example.com/prometheus"),
        ("http://[::1]:9090", "http://[::1]:9090"),
    ],
)
def test_an_address_has_no_slash_at_its_end(typed: str, address: str) -> None:
    assert parse_address(typed, *TYPED) == address


@pytest.mark.parametrize(
    ("typed", "hint"),
    [
        ("prometheus:9090", "for example --to https://prometheus.example.com"),
        ("http://x:99999", "for example --to https://prometheus.example.com"),
        ("http://x/?a=1", "leave out what follows ? or #"),
        ("http://bob:hunter2@x", "put it into a variable"),
    ],
)
def test_an_address_that_is_none_names_the_option_and_the_next_step(typed: str, hint: str) -> None:
    with pytest.raises(InputError, match="--to: ") as caught:
        parse_address(typed, *TYPED)

    assert caught.value.hint == hint
    assert "hunter2" not in caught.value.message


@pytest.mark.parametrize(
    ("address", "openly"),
    [
        ("http://127.0.0.1:9090", False),
        ("http://[::1]:9090", False),
        ("https://example.com", False),
        ("http://example.com", True),
    ],
)
def test_a_secret_travels_openly_without_encryption_to_another_machine(address: str, openly: bool) -> None:
    assert travels_openly(address) is openly


class Failing:
    """Fails so often, then answers; the server may ask for a pause."""

    def __init__(self, times: int, after_s: float | None = None) -> None:
        self.left, self.asked, self.after_s = times, 0, after_s
        self.slept: list[float] = []

    def __call__(self) -> str:
        self.asked += 1
        if self.left:
            self.left -= 1
            raise Transient(MissingPrerequisite("busy"), self.after_s)
        return "answer"

    def sent(self, attempts: int) -> str:
        return send(self, attempts=attempts, sleep=self.slept.append, longest_pause_s=4.0)


def test_a_transient_failure_is_tried_again_after_growing_pauses() -> None:
    failing = Failing(5)

    assert failing.sent(attempts=6) == "answer"
    assert failing.slept == [0.5, 1, 2, 4, 4]


def test_the_pause_is_the_one_that_the_server_asks_for() -> None:
    failing = Failing(1, after_s=7.5)

    assert failing.sent(attempts=2) == "answer"
    assert failing.slept == [7.5]


def test_the_last_attempt_raises_the_error() -> None:
    failing = Failing(5)
    with pytest.raises(MissingPrerequisite, match="busy"):
        failing.sent(attempts=3)

    assert failing.asked == 3


def test_any_other_error_ends_it_at_once() -> None:
    calls = []

    def request() -> None:
        calls.append(1)
        raise InputError("no")

    with pytest.raises(InputError):
        send(request, attempts=3, sleep=lambda _: None, longest_pause_s=1.0)
    assert len(calls) == 1


def test_no_text_shows_a_secret_or_more_than_a_line() -> None:
    cleaned = SERVER.clean("Bearer s3cret\n\tfailed " + "x" * 1000)

    assert cleaned.startswith("Bearer [token] failed xxx")
    assert len(cleaned) < 400
    assert "s3cret" not in repr(SERVER)


@pytest.mark.parametrize(
    ("answer", "found"),
    [
        ("<!DOCTYPE html><title>Sign in</title>", "a web page"),
        ("<HTML>", "a web page"),
        ("pong", "text"),
        (" ", "nothing"),
        ({"a": 1}, "JSON of another shape"),
    ],
)
def test_a_foreign_answer_is_named(answer: object, found: str) -> None:
    error = SERVER.foreign(answer)

    assert error.message == f"http://grafana answers, but isn't a Grafana: it answers with {found}"
    assert error.exit_code == 3


def test_an_answer_is_checked_against_its_shape() -> None:
    assert SERVER.checked({"a": ["b"]}, dict[str, list[str]]) == {"a": ["b"]}
    with pytest.raises(ForeignAnswer):
        SERVER.checked({"a": "b"}, dict[str, list[str]])


@pytest.mark.parametrize(
    ("location", "target"),
    [
        ("https://elsewhere.example/login?token=1", "https://elsewhere.example/login"),
        ("/login?token=1", "/login"),
        ("", "elsewhere"),
    ],
)
def test_a_redirect_is_named_without_its_query(location: str, target: str) -> None:
    assert SERVER.redirects(location).message == f"http://grafana redirects to {target}"


def test_only_what_may_pass_is_tried_again() -> None:
    refused = requests.ConnectionError(ConnectionRefusedError(111, "Connection refused"))
    found = {
        type(error).__name__: SERVER.failure(error, 5.0)
        for error in (refused, requests.Timeout(), requests.exceptions.SSLError("bad certificate"))
    }
    again = {name for name, meaning in found.items() if isinstance(meaning, Transient)}

    assert again == {"ConnectionError", "Timeout"}
    assert isinstance(found["SSLError"], Unreachable)
    assert {meaning.error.message for meaning in found.values() if isinstance(meaning, Transient)} == {
        "no Grafana answers at http://grafana: Connection refused",
        "http://grafana didn't answer within 5 s",
    }


def test_the_cause_is_the_one_below_all_layers() -> None:
    outer, inner = RuntimeError("wrapped"), ConnectionRefusedError(111, "Connection refused")
    outer.__cause__ = requests.ConnectionError(inner)

    assert cause_of(outer) == "Connection refused"
    assert cause_of(RuntimeError("alone")) == "RuntimeError"
