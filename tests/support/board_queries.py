"""Fills in the variables of a board's queries, as Grafana does, so that they can be run against a Prometheus."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

_VARIABLE = re.compile(r"\$\{(?P<name>\w+)(?::(?P<format>\w+))?\}|\$(?P<plain>[a-zA-Z_]\w*)")

INTERVALS: Mapping[str, str] = {"__interval": "5s", "__rate_interval": "20s", "__range": "1h"}
"""What Grafana puts in for a scrape interval of 5 s and a range of an hour."""


def queries_of(dashboard_json: str, values: Mapping[str, str]) -> list[tuple[str, str, str]]:
    """The board's uid, the panel's title and the query, for each of each panel and annotation that asks Prometheus.

    `values` are those of the variables, without `$`; `base:text` is what `${base:text}` becomes. A variable that isn't
    in it keeps what the board has chosen, and `$__interval`, `$__rate_interval`, `$__range` are `INTERVALS`.
    An annotation's title is `annotation: ` and its name. Raises KeyError for a variable that nobody knows.
    """
    board = json.loads(dashboard_json)
    known = {**INTERVALS, **_chosen(board), **values}
    return [(board["uid"], fill(title, known), fill(expr, known)) for title, expr in _queries(board)]


def panels_of(board: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """All panels, those of rows that are closed at first too, but no titles of rows."""
    for panel in board["panels"]:
        yield from panel.get("panels") or () if panel["type"] == "row" else [panel]


def fill(text: str, values: Mapping[str, str]) -> str:
    """`text` with `$name`, `${name}` and `${name:format}` replaced. Raises KeyError."""

    def value(found: re.Match[str]) -> str:
        name = found["name"] or found["plain"]
        formatted = f"{name}:{found['format']}"
        if formatted not in values and name not in values:
            raise KeyError(f"no value for the variable {found[0]}")
        return values.get(formatted, values.get(name, ""))

    return _VARIABLE.sub(value, text)


def _chosen(board: Mapping[str, Any]) -> dict[str, str]:
    chosen: dict[str, str] = {}
    for variable in board["templating"]["list"]:
        current = variable.get("current") or {}
        if "value" not in current:
            continue
        name, value = variable["name"], current["value"]
        chosen[name] = variable.get("allValue", ".*") if value == "$__all" else str(value)
        chosen[f"{name}:text"] = str(current["text"])
    return chosen


def _queries(board: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for panel in panels_of(board):
        for target in panel.get("targets", []):
            yield panel["title"], target["expr"]
    for annotation in board["annotations"]["list"]:
        if annotation["datasource"]["type"] == "prometheus":
            yield f"annotation: {annotation['name']}", annotation["target"]["expr"]
