"""What Grafana offers and chooses in the variables of a board, asked of a real Prometheus in Grafana's way."""

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime

from tests.support.board_queries import INTERVALS, fill
from tests.support.prometheus_server import Prometheus

Options = Mapping[str, list[tuple[str, str]]]


def options(board: str, prometheus: Prometheus, end: float, known: Mapping[str, str]) -> Options:
    """Text and value of each option of each variable that comes from samples, at the end of the board's range.

    Of each the first is chosen before the next is asked for, unless `known` has a value.
    """
    document = json.loads(board)
    until = document["time"]["to"]
    at = end if until == "now" else datetime.fromisoformat(until).astimezone(UTC).timestamp()
    values = {**INTERVALS, **known}
    found: dict[str, list[tuple[str, str]]] = {}
    for variable in document["templating"]["list"]:
        query = variable["query"]["query"] if variable["type"] == "query" else ""
        if not query.startswith("query_result("):
            continue
        name, pattern = variable["name"], variable["regex"].strip("/").replace("(?<", "(?P<")
        expr = fill(query.removeprefix("query_result(").removesuffix(")"), values)
        offered = []
        for sample in prometheus.at(expr, at):
            labels = ",".join(f'{label}="{value}"' for label, value in sample["metric"].items())
            if taken := re.search(pattern, f"{{{labels}}} {sample['value'][1]} {sample['value'][0] * 1000:.0f}"):
                named = taken.groupdict()
                offered.append((named["text"], named["value"]) if named else (taken[1], taken[1]))
        # Grafana chooses nothing where there is nothing; no series has this name.
        found[name] = offered = offered or [("", "nothing")]
        text, value = offered[0]
        values.setdefault(name, value)
        values.setdefault(f"{name}:text", text)
    return found


def chosen(board: str, prometheus: Prometheus, end: float, known: Mapping[str, str]) -> dict[str, str]:
    """The values of these variables, and what `${NAME:text}` becomes, if `known` are chosen and nothing else is."""
    values: dict[str, str] = {}
    for name, (first, *_) in options(board, prometheus, end, known).items():
        values |= {name: first[1], f"{name}:text": first[0]}
    return {**values, **known}
