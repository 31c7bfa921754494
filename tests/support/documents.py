"""Code blocks of the documentation, so that a test runs what a reader copies."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def blocks(page: str, section: str, language: str = "") -> list[str]:
    """The code blocks of a language in one section of a page under docs/."""
    text = (ROOT / "docs" / page).read_text()
    (found,) = re.findall(rf"^## {re.escape(section)}\n(.*?)(?=^## |\Z)", text, re.DOTALL | re.MULTILINE)
    return [
        code for name, code in re.findall(r"^```(\w*)\n(.*?)^```$", found, re.DOTALL | re.MULTILINE) if name == language
    ]
