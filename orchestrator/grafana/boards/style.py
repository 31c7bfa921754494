"""What a thing looks like, the same on every board: colours, dashes, units, what an empty panel says."""

from collections.abc import Mapping
from typing import Final, get_args

from orchestrator import palette as colours
from orchestrator.model.arch import Arch
from orchestrator.model.events import NodeState

ARCH: Final[Mapping[Arch, str]] = colours.ARCH
STATE: Final[Mapping[NodeState, str]] = {**colours.STATE, "terminated": "#5b6168"}
STATE_NUMBERS: Final[Mapping[NodeState, int]] = {state: n for n, state in enumerate(get_args(NodeState), start=1)}
"""The values of `orchestrator_node_state`."""

INK = "text"
"""Grafana's name for the text's colour, which is seen on a light and on a dark theme: demand is drawn in it."""
SUPPLY = STATE["running"]
BAD = colours.UNDER
FAULT: Final = colours.FAULT
GOOD = STATE["running"]
MUTED = colours.OVER
INVISIBLE = "transparent"

# Compared trials differ by both, so that arch colours stay free for the architectures.
TRIAL_COLOURS: Final = (INK, "#8e5bd0", "#2a9d78", "#c2385a")
TRIAL_DASHES: Final[tuple[tuple[int, ...], ...]] = ((), (10, 8), (2, 6), (18, 6, 2, 6))

COUNT = "short"
SECONDS = "s"
DOLLARS = "currencyUSD"
SHARE = "percentunit"
CPUS = "suffix: CPU"
PLAIN = "none"

NO_TRIAL = "no samples of this trial in the time range"
