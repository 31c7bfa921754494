"""Standard streams that can't write every character, are closed, or lead to a full disk."""

import codecs
import os
import sys
from typing import Any

_HANDLER = "orchestrate-plain"
_PLAIN = {
    "θ": "theta",
    "τ": "tau",
    "α": "alpha",
    "…": "...",
    "–": "-",
    "−": "-",
    "—": "-",
    "‘": "'",
    "’": "'",
    "“": '"',
    "”": '"',
    "×": "x",
    "·": ".",
    "•": "*",
}


def let_every_character_be_written() -> None:
    """Replace characters that stdout or stderr can't encode with similar ones, or with a question mark."""
    codecs.register_error(_HANDLER, _similar)
    for stream in (sys.stdout, sys.stderr):
        # A service manager may leave no stream, and a program that embeds us another kind.
        if (reconfigure := getattr(stream, "reconfigure", None)) is not None:
            reconfigure(errors=_HANDLER)


def _similar(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    found = error.object[error.start : error.end]
    return "".join(_PLAIN.get(character, "?") for character in found), error.end


def open_missing_streams() -> None:
    """Connect standard streams that are closed, as for a daemon, to /dev/null.

    Otherwise the next file that is opened, such as the ledger, gets the number of a standard stream, and whatever
    writes there destroys it.
    """
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            # not logged: it is closed, which is what this is for.
            if (opened := os.open(os.devnull, os.O_RDWR)) != number:
                os.dup2(opened, number)
                os.close(opened)
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115 - for the whole process


class _Forgiving:
    """A stream whose errors change nothing: progress and notes must not end a sweep."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        try:
            return int(self._stream.write(text))
        except OSError:
            # not logged: the log may go to the same stream.
            return len(text)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except OSError:
            # not logged: the log may go to the same stream.
            return

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def forgive_stderr() -> None:
    """Ignore errors of stderr from now on, such as those of a full disk."""
    if not isinstance(sys.stderr, _Forgiving):
        sys.stderr = _Forgiving(sys.stderr)


def give_up_stdout() -> None:
    """Write nothing more to stdout, not even what is left in its buffer when the process ends."""
    try:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
    except (OSError, ValueError):  # a program that embeds us may have another kind of stream
        # not logged: nothing can be done.
        return
