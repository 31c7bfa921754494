"""Field overrides for single series and columns. Architectures and states have fixed colours."""

import string
from collections.abc import Mapping, Sequence
from typing import Any

from grafana_foundation_sdk.models import dashboard as model

from orchestrator.grafana.boards import style
from orchestrator.grafana.boards.queries import Query

Override = tuple[model.MatcherConfig, list[model.DynamicConfigValue]]

DASHED = {"fill": "dash", "dash": [10, 8]}

HIDDEN: Mapping[str, Any] = {"custom.hideFrom.viz": True, "custom.hidden": True}
"""Hide a column that only links use: in Grafana 12.2 and newer, and before."""
UNSTACKED: Mapping[str, Any] = {"custom.stacking": {"mode": "none"}, "custom.fillOpacity": 0}
LIMIT: Mapping[str, Any] = {**UNSTACKED, "custom.lineStyle": DASHED, "custom.lineWidth": 1}
"""The style of a limit or a total over a stack."""
NODES_AT_THE_RIGHT: Mapping[str, Any] = {
    "custom.axisPlacement": "right",
    "custom.axisLabel": "nodes",
    "custom.stacking": {"mode": "normal", "group": "nodes"},
    "custom.fillOpacity": 35,
    "custom.lineWidth": 0,
}
"""The style of a stack of nodes behind lines that use the left axis."""


def colour(value: str) -> dict[str, Any]:
    """Return one fixed colour, as the property of an override."""
    return {"color": {"mode": "fixed", "fixedColor": value}}


def named(pattern: str, properties: Mapping[str, Any]) -> Override:
    """Return an override for the series whose name matches a regular expression."""
    return _override("byRegexp", f"/{pattern}/", properties)


def from_query(number: int, properties: Mapping[str, Any]) -> Override:
    """Return an override for the series of a panel's query, counted from 0."""
    return _override("byFrameRefID", ref_id(number), properties)


def column(name: str, properties: Mapping[str, Any]) -> Override:
    """Return an override for a table's column."""
    return _override("byName", name, properties)


def _override(matcher: str, options: str, properties: Mapping[str, Any]) -> Override:
    values = [model.DynamicConfigValue(id_val=name, value=value) for name, value in properties.items()]
    return model.MatcherConfig(id_val=matcher, options=options), values


def known_colours(queries: Sequence[Query]) -> list[Override]:
    """Return overrides for all names with a fixed colour. Legends end with the name, so a prefix can't match."""
    colours: dict[str, str] = {}
    for query in queries:
        if query.legend.endswith("{{arch}}"):
            colours.update(style.ARCH.items())
        if query.legend.endswith(("{{state}}", "{{event}}")):
            colours.update(style.STATE.items())
    return [named(f"(^| ){name}$", colour(value)) for name, value in colours.items()]


def lanes_of_architectures(prefix: str) -> list[Override]:
    """Return line widths that keep each architecture visible where lines coincide."""
    return [
        named(f"^{prefix} {arch}$", {"custom.lineWidth": width, "custom.lineStyle": {"fill": "solid"}})
        for arch, width in style.ARCH_WIDTHS.items()
    ]


def ref_id(position: int) -> str:
    """Return the letter by which Grafana knows a panel's query, counted from 0."""
    return string.ascii_uppercase[position]
