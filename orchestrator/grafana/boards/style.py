"""Colours, dashes, units and texts of empty panels, shared by all boards."""

from collections.abc import Mapping
from typing import Final

from orchestrator import palette as colours
from orchestrator.model.arch import Arch
from orchestrator.model.events import NodeState, Phase

ARCH: Final[Mapping[Arch, str]] = colours.ARCH
STATE: Final[Mapping[NodeState, str]] = {**colours.STATE, "terminated": "#5b6168"}

PHASE: Final[Mapping[Phase, str]] = {
    "starting": "#a7b0ba",
    "preparing": "#b79fd8",
    "submitting": "#7d55b8",
    "running": STATE["running"],
    "scaling_down": STATE["idle"],
    "done": STATE["terminated"],
    "failed": STATE["failed"],
}
"""Colours of the phases, in the order of a trial."""
PHASE_NUMBERS: Final[Mapping[str, tuple[str, str]]] = {
    str(number): (phase.replace("_", " "), shade) for number, (phase, shade) in enumerate(PHASE.items(), start=1)
}
"""Name and colour of each phase by its number in queries."""

ARCH_WIDTHS: Final[Mapping[Arch, int]] = {"arm64": 6, "unknown": 4, "x86_64": 2}
"""Line widths for architectures that aren't stacked.

Grafana draws series in Prometheus' order, by label. Later lines are narrower, so an equal earlier line shows on both
sides: whole pixels of it, because a fraction of a pixel would mix both colours.
"""

INK = "text"
"""Grafana's name for the text colour, which is visible in light and dark themes. Demand uses it."""
SUPPLY = STATE["running"]
BAD = colours.UNDER
FAULT: Final = colours.FAULT
GOOD = STATE["running"]
MUTED = colours.OVER
INVISIBLE = "transparent"
BLANK = "\N{NO-BREAK SPACE}"
"""The text of an invisible part of a timeline. For an empty text Grafana shows that of an empty panel."""

TRIAL_COLOURS: Final = (INK, "#8e5bd0", "#2a9d78", "#c2385a")
TRIAL_WIDTHS: Final = (9, 6, 4, 2)
"""Line widths of compared trials, as for `ARCH_WIDTHS`. The widest is drawn first, so equal lines stay visible."""

# Grafana scales `short` to "6 K" and `s` to "9.6 mins": neither tells 6400 from 6390, or 574 s from 582 s.
COUNT = "locale"
SECONDS = "suffix:s"
DOLLARS = "currencyUSD"
SHARE = "percentunit"
CPUS = "suffix:CPU"
PLAIN = "none"
# For labels: Grafana would show a label "0.2" as 0.200.
TEXT = "string"

NO_TRIAL = "no samples of this trial in the time range: click “Fit time” above, or run a sweep first"
