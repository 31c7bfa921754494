"""`--metrics-port`: what is not a port is refused; a taken one matters only to who asked for it."""

import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from orchestrator.errors import InputError, MissingPrerequisite
from orchestrator.lab.metrics import TOKEN_VARIABLE, Access, access, check_default, check_port, serving
from orchestrator.metrics.exporter import LINGER_S, Exporter
from tests.support.reporting import KeptReport


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that somebody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield int(listener.getsockname()[1])


@pytest.fixture
def free() -> int:
    """A port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@pytest.fixture
def out() -> KeptReport:
    return KeptReport()


def default_port(monkeypatch: pytest.MonkeyPatch, port: int) -> None:
    monkeypatch.setattr("orchestrator.metrics.server.DEFAULT_PORT", port)


def answers(port: int) -> bool:
    with suppress(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port), 5) as connection:
        connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
        return connection.recv(64).startswith(b"HTTP/1.0 200 ")
    return False


def test_a_port_that_is_free_is_accepted(free: int) -> None:
    for port in (None, 0, free):
        check_port(port)


def test_an_explicit_port_that_is_taken_is_refused_before_anything_begins(taken: int) -> None:
    with pytest.raises(InputError, match=f"--metrics-port {taken}: Address already in use"):
        check_port(taken)


@pytest.mark.parametrize("port", [-1, 65_536, 10**9])
def test_what_is_no_port_is_refused(port: int) -> None:
    with pytest.raises(InputError, match=f"--metrics-port: {port} is not a port") as refused:
        check_port(port)

    assert refused.value.exit_code == 2


def test_a_sweep_that_the_stack_is_to_watch_has_the_port_at_which_it_looks(
    free: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    default_port(monkeypatch, free)

    assert [check_default(port, "--stack") for port in (None, free)] == [free, free]
    with pytest.raises(InputError, match=f"--stack: its Prometheus looks at port {free} only"):
        check_default(free + 1, "--stack")


def test_a_sweep_that_the_stack_could_not_watch_does_not_begin(taken: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its Prometheus would show the other sweep, to which the port belongs."""
    default_port(monkeypatch, taken)
    with pytest.raises(MissingPrerequisite, match=f"port {taken}, which can't be had: Address already in use"):
        check_default(None, "--stack")


def test_an_explicit_port_is_served_until_the_end(free: int, out: KeptReport) -> None:
    with serving(Exporter("c0ffee00"), lambda: (), free, out):
        assert out.text == f"metrics: http://127.0.0.1:{free}/metrics\n"
        assert answers(free)

    assert not answers(free)


def test_the_default_port_is_served(free: int, out: KeptReport, monkeypatch: pytest.MonkeyPatch) -> None:
    default_port(monkeypatch, free)
    with serving(Exporter("c0ffee00"), lambda: (), None, out):
        assert answers(free)


def test_port_0_serves_nothing(free: int, out: KeptReport, monkeypatch: pytest.MonkeyPatch) -> None:
    default_port(monkeypatch, free)
    with serving(Exporter("c0ffee00"), lambda: (), 0, out):
        assert out.text == ""
        assert not answers(free)


def test_an_explicit_port_that_is_taken_is_bad_input(taken: int, out: KeptReport) -> None:
    with pytest.raises(InputError) as refused, serving(Exporter("c0ffee00"), lambda: (), taken, out):
        pytest.fail("served on a port that is taken")

    assert refused.value.exit_code == 2
    assert refused.value.message == f"--metrics-port {taken}: Address already in use"


def test_a_default_port_that_is_taken_is_a_note(taken: int, out: KeptReport, monkeypatch: pytest.MonkeyPatch) -> None:
    default_port(monkeypatch, taken)
    ran = False
    with serving(Exporter("c0ffee00"), lambda: (), None, out):
        ran = True

    assert ran
    assert out.text == (
        f"note: no metrics are served, port {taken}: Address already in use; another: --metrics-port PORT\n"
    )


@pytest.mark.parametrize("port", [None, 0])
def test_what_fails_while_it_is_served_is_not_swallowed(
    free: int, out: KeptReport, monkeypatch: pytest.MonkeyPatch, port: int | None
) -> None:
    default_port(monkeypatch, free)
    with pytest.raises(OSError, match="the disk is full"), serving(Exporter("c0ffee00"), lambda: (), port, out):
        raise OSError("the disk is full")

    assert not answers(free)


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError("the disk is full")])
def test_whoever_scrapes_sees_the_end_also_of_what_is_interrupted_or_fails(
    free: int, out: KeptReport, error: BaseException
) -> None:
    waited: list[float] = []
    exporter = Exporter("c0ffee00", sleep=waited.append)
    list(exporter.collect())
    with pytest.raises(type(error)), serving(exporter, lambda: (), free, out):
        raise error

    assert waited == [LINGER_S]


def test_ctrl_c_ends_the_wait_for_the_last_scrape_and_nothing_else(free: int, out: KeptReport) -> None:
    def pressed(_: float) -> None:
        raise KeyboardInterrupt

    exporter = Exporter("c0ffee00", sleep=pressed)
    list(exporter.collect())
    with serving(exporter, lambda: (), free, out):
        assert answers(free)

    assert not answers(free)


@pytest.mark.parametrize(("token", "who"), [("", "anybody who reaches it"), ("secret", "who has the token")])
def test_metrics_that_others_can_reach_are_warned_of(free: int, out: KeptReport, token: str, who: str) -> None:
    with serving(Exporter("c0ffee00"), lambda: (), free, out, Access("0.0.0.0", token)):
        warnings = [line for line in out.text.splitlines() if line.startswith("warning: ")]

    assert len(warnings) == 1
    assert who in warnings[0]
    assert "secret" not in out.text


def test_a_token_comes_from_a_file_or_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "token"
    file.write_text("of-the-file\n")
    monkeypatch.setenv(TOKEN_VARIABLE, "of-the-environment")

    assert access("0.0.0.0", file) == Access("0.0.0.0", "of-the-file")
    monkeypatch.setenv(TOKEN_VARIABLE, "of-the-environment")
    assert access(None) == Access("127.0.0.1", "of-the-environment")
    assert access(None) == Access(), "nothing that is started later inherits it"
    assert "of-the-file" not in repr(access(None, file))


def test_what_is_no_token_is_refused_and_not_quoted(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("two words")
    with pytest.raises(InputError) as refused:
        access(None, file)

    assert "two words" not in refused.value.message
