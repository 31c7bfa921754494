"""Draws what a command printed as an SVG picture of a terminal: COMMAND | python terminal.py TITLE > PICTURE.svg."""

import io
import re
import sys

from rich.console import Console
from rich.terminal_theme import DIMMED_MONOKAI
from rich.text import Text

console = Console(record=True, width=80, file=io.StringIO())
console.print(Text.from_ansi(sys.stdin.read().rstrip()))
# A fixed id, because the same text is to give the same file.
svg = console.export_svg(title=sys.argv[1], theme=DIMMED_MONOKAI, unique_id="terminal")
# A picture loads no font from elsewhere.
print(re.sub(r"@font-face {.*?}\s*", "", svg, flags=re.DOTALL).strip())
