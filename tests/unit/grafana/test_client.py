"""The token and the address: what is taken, and what is refused without being shown."""

from pathlib import Path

import pytest

from orchestrator.errors import InputError
from orchestrator.grafana.client import TOKEN_VARIABLE, grafana_address, take_token
from orchestrator.remote_api import travels_openly


def test_the_token_is_taken_out_of_the_environment() -> None:
    environment = {TOKEN_VARIABLE: " glsa_x\n", "PATH": "/bin"}

    assert take_token(environment=environment) == "glsa_x"
    assert environment == {"PATH": "/bin"}


def test_a_file_stands_above_the_environment(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("glsa_file\n")
    environment = {TOKEN_VARIABLE: "glsa_x"}

    assert take_token(file, environment) == "glsa_file"
    assert environment == {}


@pytest.mark.parametrize("found", ["", "  \n", "two words", "two\nlines", "tökén", "glsa\x00x"])
def test_what_is_no_token_is_refused_and_not_quoted(found: str) -> None:
    with pytest.raises(InputError) as caught:
        take_token(environment={TOKEN_VARIABLE: found})
    if found.strip():
        assert found not in f"{caught.value.message} {caught.value.hint}"


def test_a_file_that_is_no_text(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_bytes(b"\xff\xfe\x00")

    with pytest.raises(InputError, match="not a text file"):
        take_token(file, {})


@pytest.mark.parametrize(
    ("typed", "address"),
    [
        ("https://grafana.example.com/", "https://grafana.example.com"),
        (" http://localhost:3000 ", "http://localhost:3000"),
        ("https://example.com/grafana/", "https://example.com/grafana"),
        ("http://[::1]:3000", "http://[::1]:3000"),
    ],
)
def test_an_address(typed: str, address: str) -> None:
    assert grafana_address(typed) == address


@pytest.mark.parametrize(
    "typed",
    ["", "x", "grafana:3000", "file:///etc/passwd", "http://a b", "http://x:99999", "http://[::1", "http://x/#y"],
)
def test_no_address(typed: str) -> None:
    with pytest.raises(InputError):
        grafana_address(typed)


def test_which_addresses_need_no_encryption() -> None:
    assert not travels_openly("http://127.0.0.1:3000")
    assert not travels_openly("http://[::1]:3000")
    assert not travels_openly("https://grafana.example.com")
    assert travels_openly("http://grafana.example.com")
