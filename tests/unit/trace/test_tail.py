"""Following a file that another process appends to."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.trace.tail import Tail


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "monitor.log"


def append(path: Path, text: str) -> None:
    with path.open("a") as file:
        file.write(text)


def test_a_file_that_is_missing_has_no_lines_yet(path: Path) -> None:
    tail = Tail(path)

    assert tail.read() == []

    append(path, "first\n")

    assert tail.read() == ["first"]


def test_each_line_is_read_once(path: Path) -> None:
    tail = Tail(path)
    append(path, "one\ntwo\n")

    assert tail.read() == ["one", "two"]
    assert tail.read() == []

    append(path, "three\n")

    assert tail.read() == ["three"]


def test_half_a_line_waits_for_its_end(path: Path) -> None:
    tail = Tail(path)
    append(path, "one\ntw")

    assert tail.read() == ["one"]

    append(path, "o\n")

    assert tail.read() == ["two"]


def test_half_a_character_waits_for_its_end(path: Path) -> None:
    tail = Tail(path)
    euro = "€\n".encode()
    path.write_bytes(euro[:2])

    assert tail.read() == []

    path.write_bytes(euro)

    assert tail.read() == ["€"]


def test_a_file_that_was_cut_is_read_from_its_beginning(path: Path) -> None:
    tail = Tail(path)
    append(path, "a long first line\n")
    tail.read()
    path.write_text("new\n")

    assert tail.read() == ["new"]


def test_a_file_that_was_replaced_is_read_from_its_beginning(path: Path) -> None:
    tail = Tail(path)
    append(path, "old\n")
    tail.read()
    rotated = path.with_suffix(".new")
    rotated.write_text("new and longer\n")
    rotated.rename(path)

    assert tail.read() == ["new and longer"]


@pytest.mark.parametrize("length", [10, 11, 25, 30, 31])
def test_a_line_that_is_too_long_is_passed_over_and_the_next_ones_are_read(path: Path, length: int) -> None:
    tail = Tail(path, longest=10)
    path.write_text(f"one\n{'x' * length}\ntwo\nthree\n")
    lines = [line for _ in range(10) for line in tail.read()]
    append(path, "four\n")

    assert [*lines, *tail.read()] == ["one", "two", "three", "four"]


def test_a_long_line_is_passed_over_while_it_is_written(path: Path) -> None:
    tail = Tail(path, longest=10)
    for part in ("x" * 9, "xxx", "xxxxxxxxxxx", "xx\n", "next\n"):
        append(path, part)
        lines = [*tail.read(), *tail.read()]

    assert lines == ["next"]


def test_a_line_that_just_fits_is_read(path: Path) -> None:
    path.write_text("nine char\n")

    assert Tail(path, longest=10).read() == ["nine char"]


def test_what_is_no_file_is_not_waited_for(path: Path) -> None:
    os.mkfifo(path)

    assert Tail(path).read() == []


def test_bytes_that_are_no_text_are_replaced(path: Path) -> None:
    path.write_bytes(b"caf\xe9\nnext\n")

    assert Tail(path).read() == ["caf�", "next"]


@given(st.text(st.characters(codec="ascii", categories=["L", "N"], include_characters=" \n")), st.integers(1, 7))
def test_however_the_text_arrives_its_lines_are_the_same(
    tmp_path_factory: pytest.TempPathFactory, text: str, step: int
) -> None:
    path = tmp_path_factory.mktemp("tail") / "log"
    tail = Tail(path)
    lines = []
    for start in range(0, len(text), step):
        append(path, text[start : start + step])
        lines += tail.read()

    assert lines == text.split("\n")[:-1]


@pytest.mark.parametrize("character", ["\u2028", "\x0c", "\x85"])
def test_only_a_line_feed_ends_a_line(path: Path, character: str) -> None:
    append(path, f"one{character}still one\n")

    assert Tail(path).read() == [f"one{character}still one"]
