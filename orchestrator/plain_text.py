"""Text from others, made harmless for a terminal: control characters become visible ones of the same width."""

import re

# C0 without tab and newline, DEL, C1, and what reorders or hides text: separators, bidirectional and zero-width marks.
_CONTROL = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u200b\u200e\u200f\u2028\u2029\u202a-\u202e\u2060-\u2069\ufeff]"
)
_PICTURES = 0x2400  # Unicode has a picture of each C0 character, from here on
_DELETE_PICTURE = "\u2421"
_REPLACEMENT = "\ufffd"


def visible(text: str) -> str:
    r"""Return the text with each control character shown instead of obeyed. Tabs and newlines stay.

    >>> visible("a\x1b[31mb")
    'a␛[31mb'
    """
    return _CONTROL.sub(lambda found: _picture(found[0]), text)


def _picture(character: str) -> str:
    code = ord(character)
    if code < 0x20:
        return chr(_PICTURES + code)
    return _DELETE_PICTURE if code == 0x7F else _REPLACEMENT
