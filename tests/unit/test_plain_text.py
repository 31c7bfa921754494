"""Text of others on a terminal: control characters are shown, and never obeyed."""

import io
import logging

import pytest
from rich.console import Console
from rich.table import Table

from orchestrator.logs import RedactingFormatter
from orchestrator.plain_text import visible
from orchestrator.report.document.markdown import escaped
from orchestrator.report.terminal import output
from orchestrator.report.terminal.output import as_text

HOSTILE = {
    "title": "\x1b]0;PWNED\x07",
    "clear": "\x1b[2J",
    "c1": "\x9b31m",
    "backspace": "abc\x08\x08\x08",
    "return": "safe\rEVIL",
    "delete": "\x7f",
    "bidirectional": "\u202egnp.exe",
    "isolate": "\u2066a\u2069",
    "zero width": "a\u200bb",
    "line separator": "a\u2028b",
}
RAW = set("\x1b\x07\x08\r\x7f\x9b\u202e\u2066\u2069\u200b\u2028")


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
def test_no_control_character_stays(text: str) -> None:
    assert not RAW & set(visible(text))
    assert len(visible(text)) == len(text)


@pytest.mark.parametrize("text", ["", "speed=1 θ → é 雪 👍", "a\tb\nc"])
def test_other_text_stays_as_it_is(text: str) -> None:
    assert visible(text) == text


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
def test_tables_and_lines_on_a_console_show_them(text: str) -> None:
    table = Table(title=text)
    table.add_column(text)
    table.add_row(text, style="red")

    assert not RAW & set(as_text(table))
    assert not RAW & set(as_text(text))


def test_a_console_still_has_its_own_colours() -> None:
    made = output._harmless_console()(file=io.StringIO(), force_terminal=True, color_system="standard", highlight=False)
    made.print("\x1b[2J", style="red")
    written = made.file.getvalue()  # type: ignore[attr-defined]

    assert isinstance(made, Console)
    assert "\x1b[31m␛[2J\x1b[0m" in written


def test_the_log_shows_them_too() -> None:
    record = logging.LogRecord("orchestrator", logging.INFO, "", 0, "name %s", ("\x1b[2J",), None)

    assert "name ␛[2J" in RedactingFormatter().format(record)


def test_markdown_takes_names_for_text() -> None:
    assert escaped("[a](javascript:b) <img src=x> `c` | d\n# e") == (
        r"\[a\](javascript:b) \<img src=x\> \`c\` \| d \# e"
    )
