"""Build the boards, and list where the committed files differ from the code."""

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard

from orchestrator.grafana.boards.cluster import cluster_board
from orchestrator.grafana.boards.compare import compare_board
from orchestrator.grafana.boards.health import health_board
from orchestrator.grafana.boards.nodes import nodes_board
from orchestrator.grafana.boards.panels import PLUGIN_VERSION
from orchestrator.grafana.boards.sweep import sweep_board
from orchestrator.grafana.boards.trial import trial_board

FOLDER = "grafana/dashboards"
"""The committed boards, in a checkout and in the wheel."""

BOARDS: Mapping[str, Callable[[], Dashboard]] = {
    "cluster.json": cluster_board,
    "compare.json": compare_board,
    "health.json": health_board,
    "nodes.json": nodes_board,
    "sweep.json": sweep_board,
    "trial.json": trial_board,
}


def build_all() -> dict[str, str]:
    """Return each board's file name and JSON."""
    return {name: board_json(board()) for name, board in BOARDS.items()}


def board_json(board: Dashboard) -> str:
    """Return a board as JSON for Grafana's API and its file provisioning (`schemaVersion` 42)."""
    document = json.loads(JSONEncoder().encode(board))
    # The SDK can only hide links in a menu; without the key they appear above the panels.
    for each in document["links"]:
        del each["placement"]
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def importable(board: str) -> str:
    """Return a board's JSON for import by hand: Grafana asks for the data source and lists missing plugins."""
    document = json.loads(board)
    types = sorted({panel["type"] for panel in _panels(document)})
    for variable in document["templating"]["list"]:
        if variable["type"] == "datasource":
            variable["current"] = {"text": "Prometheus", "value": f"${{{_INPUT}}}"}
    needs = [{"type": "panel", "id": each, "name": each, "version": ""} for each in types]
    head = {
        "__inputs": [
            {
                "name": _INPUT,
                "label": "Prometheus",
                "description": "The Prometheus that stores the metrics of the trials.",
                "type": "datasource",
                "pluginId": "prometheus",
                "pluginName": "Prometheus",
            }
        ],
        "__requires": [
            {"type": "grafana", "id": "grafana", "name": "Grafana", "version": PLUGIN_VERSION},
            {"type": "datasource", "id": "prometheus", "name": "Prometheus", "version": "1.0.0"},
            *needs,
        ],
    }
    return json.dumps(head | document, indent=2, ensure_ascii=False) + "\n"


_INPUT = "DS_PROMETHEUS"


def _panels(document: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for panel in document["panels"]:
        yield from panel.get("panels") or () if panel["type"] == "row" else [panel]


def write_all(folder: Path, *, for_import: bool = False) -> list[Path]:
    """Write the boards into `folder`, creating it if needed, and return the files. Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, built in build_all().items():
        content = importable(built) if for_import else built
        path = folder / name
        path.write_text(content, encoding="utf-8")
        written.append(path)
    return written


def differences(folder: Path) -> list[str]:
    """Return a line for each file in `folder` that differs from `build_all`: changed, missing, or foreign."""
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
