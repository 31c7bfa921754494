"""The colours of all plots: one per meaning, distinct for colour-blind readers on white and on black."""

from collections.abc import Mapping

from orchestrator.model.arch import Arch
from orchestrator.model.events import NodeState

ARCH: Mapping[Arch, str] = {"x86_64": "#2f7ed8", "arm64": "#d9730d", "unknown": "#808080"}

STATE: Mapping[NodeState, str] = {
    "requested": "#a7b0ba",
    "allocated": "#b79fd8",
    "installing": "#7d55b8",
    "running": "#2a9d78",
    "idle": "#8fd0bb",
    "draining": "#808080",
    "failed": "#c2385a",
}

UNDER = "#c2385a"
OVER = "#8a8a8a"
FAULT = "#c026d3"

# Placeholders that the page replaces with the text and background colours of its light or dark theme.
INK = "#000001"
MUTED = "#000002"
PAPER = "#000003"


def translucent(colour: str, opacity: float) -> str:
    """Return a `#rrggbb` colour with an opacity from 0 to 1, as CSS."""
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},{opacity:g})"
