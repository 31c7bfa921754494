"""Prometheus alert rules as Grafana-managed rules with the same expressions, waits, labels and texts.

Prometheus fires for each series that an expression returns, whatever its value. Grafana fires where a number isn't 0.
So each rule is a query, a check that the query has a result, and a threshold, as in Grafana's own import of Prometheus
rules (pkg/services/ngalert/prom/convert.go).
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator.errors import SpecError
from orchestrator.inputs.yaml_file import read_yaml_mapping

PANELS = {
    "OrchestratorDemandUnmet": ("orchestrate-trial", "Demand and supply"),
    "OrchestratorNodesStuckLaunching": ("orchestrate-nodes", "Node states"),
    "OrchestratorIdleNodesNotRemoved": ("orchestrate-nodes", "Node states"),
    "OrchestratorLaunchFailures": ("orchestrate-nodes", "Node failures by cause"),
    "OrchestratorObserverDown": ("orchestrate-health", "Targets"),
    "OrchestratorObserverLagging": ("orchestrate-health", "Observer lag"),
    "OrchestratorTooManyNodes": ("orchestrate-trial", "Nodes by architecture, and their limits"),
    "OrchestratorCostOverBudget": ("orchestrate-trial", "Cost so far by architecture"),
}
"""The board and the panel that show the cause of each alert."""
TELLS_OF_OUTAGE = "OrchestratorObserverDown"
"""The only rule that fires if Prometheus is unreachable. Otherwise one outage would raise eight alerts."""

MAX_UID = 40
# Grafana evaluates at multiples of this.
STEP_S = 10
LOOK_BACK_S = 600

_UNITS_MS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000, "y": 31_536_000_000}
_PART = re.compile(r"(\d+)(ms|[smhdwy])")
_ACTION = re.compile(r"\{\{.*?\}\}", re.DOTALL)
_VALUE = re.compile(r"\$value\b|(?<![\w.$)])\.Value\b")
_EXPRESSION = {"type": "__expr__", "uid": "__expr__"}


@dataclass(frozen=True)
class AlertGroup:
    """Rules that Grafana evaluates together, as bodies for its API without the folder; `interval_s` if it is set."""

    name: str
    interval_s: int | None
    rules: tuple[dict[str, Any], ...]


def read_alerts(
    path: Path, datasource: str, *, boards: Iterable[Mapping[str, Any]] = (), runbook_url: str | None = None
) -> tuple[AlertGroup, ...]:
    """Return the alert rules of a Prometheus rule file, on the data source with this uid. Raises SpecError.

    Each rule links to its panel in `boards`, and to its section of the runbook if `runbook_url` is given.
    """
    to = _Links(_panel_ids(boards), runbook_url)
    groups = []
    taken: dict[str, int] = {}
    try:
        for group in read_yaml_mapping(path)["groups"]:
            name = group["name"]
            rules = [
                _rule(rule, name, datasource, taken, group.get("labels") or {}, to)
                for rule in group["rules"]
                if "alert" in rule
            ]
            if rules:
                interval = milliseconds(group["interval"]) if "interval" in group else None
                groups.append(AlertGroup(name, None if interval is None else _whole_steps(interval), tuple(rules)))
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise SpecError(str(path), f"not a file of alert rules: {error}") from None
    return tuple(groups)


def milliseconds(duration: str | int) -> int:
    """Return the length of a Prometheus duration such as `1h30m` or `0`. Raises ValueError."""
    text = str(duration)
    parts = _PART.findall(text)
    if text != "0" and (not parts or "".join(number + unit for number, unit in parts) != text):
        raise ValueError(f"{text!r} is not a duration")
    return sum(int(number) * _UNITS_MS[unit] for number, unit in parts)


def _whole_steps(interval_ms: int) -> int:
    return STEP_S * max(1, -(-interval_ms // (1000 * STEP_S)))


def _rule(
    rule: Mapping[str, Any],
    group: str,
    datasource: str,
    taken: dict[str, int],
    labels: Mapping[str, str],
    to: "_Links",
) -> dict[str, Any]:
    name = rule["alert"]
    waits = {key: str(rule[key]) for key in ("for", "keep_firing_for") if key in rule}
    for wait in waits.values():
        milliseconds(wait)
    taken[name] = taken.get(name, 0) + 1
    # Titles are unique in a Grafana folder, but several Prometheus rules can share a name.
    number = taken[name]
    return {
        "uid": _uid(name, number),
        "title": name if number == 1 else f"{name} ({number})",
        "ruleGroup": group,
        "condition": "threshold",
        "data": [
            _node(
                "query",
                datasource,
                {
                    "datasource": {"type": "prometheus", "uid": datasource},
                    "expr": rule["expr"].strip(),
                    "instant": True,
                    "range": False,
                },
                LOOK_BACK_S,
            ),
            _node(
                "value",
                "__expr__",
                {
                    "datasource": _EXPRESSION,
                    "type": "math",
                    "expression": "is_number($query) || is_nan($query) || is_inf($query)",
                },
            ),
            _node(
                "threshold",
                "__expr__",
                {
                    "datasource": _EXPRESSION,
                    "type": "threshold",
                    "expression": "value",
                    "conditions": [{"evaluator": {"params": [0], "type": "gt"}}],
                },
            ),
        ],
        # No series is the good state. An unreachable Prometheus has its own alert.
        "noDataState": "OK",
        "execErrState": "Error" if name == TELLS_OF_OUTAGE else "KeepLast",
        "for": "0s",
        **waits,
        "labels": {str(key): str(value) for key, value in {**labels, **(rule.get("labels") or {})}.items()},
        "annotations": {
            **{key: _translated(text) for key, text in (rule.get("annotations") or {}).items()},
            **to.of(name, rule),
        },
    }


@dataclass(frozen=True)
class _Links:
    """Link targets of alerts in Grafana: panel ids by board and title, and the address of the runbook."""

    panels: Mapping[tuple[str, str], int]
    runbook_url: str | None

    def of(self, name: str, rule: Mapping[str, Any]) -> dict[str, str]:
        annotations: dict[str, str] = {}
        if (panel := self.panels.get(PANELS.get(name, ("", "")))) is not None:
            annotations |= {"__dashboardUid__": PANELS[name][0], "__panelId__": str(panel)}
        _, has_section, section = (rule.get("annotations") or {}).get("runbook_url", "").partition("#")
        if self.runbook_url is not None and has_section:
            annotations["runbook_url"] = f"{self.runbook_url}#{section}"
        return annotations


def _panel_ids(boards: Iterable[Mapping[str, Any]]) -> dict[tuple[str, str], int]:
    found: dict[tuple[str, str], int] = {}
    for board in boards:
        for panel in board["panels"]:
            found |= {(board["uid"], each["title"]): each["id"] for each in (panel, *(panel.get("panels") or ()))}
    return found


def _node(ref: str, datasource: str, model: dict[str, Any], look_back_s: int = 0) -> dict[str, Any]:
    return {
        "refId": ref,
        "queryType": "",
        "relativeTimeRange": {"from": look_back_s, "to": 0},
        "datasourceUid": datasource,
        "model": {"refId": ref, "intervalMs": 1000, "maxDataPoints": 43200, **model},
    }


def _uid(name: str, number: int) -> str:
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|[^a-zA-Z0-9]+", "-", name).strip("-").lower()
    ending = "" if number == 1 else f"-{number}"
    return words[: MAX_UID - len(ending)] + ending


def _translated(text: str) -> str:
    """Return a text with Grafana's `$values.query.Value`: its `$value` is a description of all nodes."""
    return _ACTION.sub(lambda action: _VALUE.sub("$values.query.Value", action[0]), text)
