"""Output on terminals and pipes that can't write every character, such as those of an ASCII or Latin-1 locale."""

import codecs
import sys

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
