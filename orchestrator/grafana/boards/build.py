"""Builds the boards, and says where the committed ones differ from the code."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path

from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard

from orchestrator.grafana.boards.compare import compare_board
from orchestrator.grafana.boards.health import health_board
from orchestrator.grafana.boards.nodes import nodes_board
from orchestrator.grafana.boards.sweep import sweep_board
from orchestrator.grafana.boards.trial import trial_board

FOLDER = "grafana/dashboards"
"""Where the committed boards are, in a checkout and in the wheel."""

BOARDS: Mapping[str, Callable[[], Dashboard]] = {
    "compare.json": compare_board,
    "health.json": health_board,
    "nodes.json": nodes_board,
    "sweep.json": sweep_board,
    "trial.json": trial_board,
}


def build_all() -> dict[str, str]:
    """Each board's file name and JSON."""
    return {name: board_json(board()) for name, board in BOARDS.items()}


def board_json(board: Dashboard) -> str:
    """A board as JSON, as Grafana's API and its file provisioning take it (`schemaVersion` 42)."""
    document = json.loads(JSONEncoder().encode(board))
    # The SDK can only hide links in a menu; without the key they stand above the panels.
    for each in document["links"]:
        del each["placement"]
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def write_all(folder: Path) -> list[Path]:
    """Write the boards into `folder`, which is made if needed; returns the files. Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, content in build_all().items():
        path = folder / name
        path.write_text(content, encoding="utf-8")
        written.append(path)
    return written


def differences(folder: Path) -> list[str]:
    """A line for each file of `folder` that isn't what `build_all` makes: different, missing, or not ours."""
    built = build_all()
    found = {path.name: path for path in sorted(folder.glob("*.json"))}
    lines = []
    for name in sorted({*built, *found}):
        if name not in found:
            lines.append(f"{folder / name}: missing")
        elif name not in built:
            lines.append(f"{folder / name}: not built by orchestrate")
        elif found[name].read_bytes() != built[name].encode():
            lines.append(f"{folder / name}: differs from what the code builds")
    return lines
