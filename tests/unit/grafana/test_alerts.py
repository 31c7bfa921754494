"""Prometheus alert rules become Grafana-managed ones that fire at the same time and say the same."""

from pathlib import Path
from typing import Any

import pytest

from orchestrator.assets import bundled
from orchestrator.errors import SpecError
from orchestrator.grafana.alerts import MAX_UID, AlertGroup, milliseconds, read_alerts

RULES = """
groups:
  - name: nodes
    interval: 15s
    labels: {team: lab}
    rules:
      - record: a:b:sum
        expr: sum(b)
      - alert: NodesStuck
        expr: |
          up == 0
        for: 90s
        keep_firing_for: 5m
        labels: {severity: warning}
        annotations: {summary: "{{ $value }} of {{ .Value | humanize }}, {{ $labels.arch }}, a $value, {{ $values.x }}"}
      - alert: NodesStuck
        expr: up == 1
  - name: only recorded
    rules: [{record: c, expr: d}]
"""


def converted(tmp_path: Path, text: str = RULES) -> tuple[AlertGroup, ...]:
    file = tmp_path / "alerts.yml"
    file.write_text(text)
    return read_alerts(file, "prom")


def rule(tmp_path: Path, number: int = 0) -> dict[str, Any]:
    return converted(tmp_path)[0].rules[number]


def test_recording_rules_are_left_out_and_a_group_has_its_interval_in_steps_that_grafana_knows(tmp_path: Path) -> None:
    (group,) = converted(tmp_path)

    assert (group.name, group.interval_s) == ("nodes", 20)
    assert [each["title"] for each in group.rules] == ["NodesStuck", "NodesStuck (2)"]


def test_a_rule_fires_for_whatever_value_a_series_has(tmp_path: Path) -> None:
    query, value, threshold = rule(tmp_path)["data"]

    assert query["model"]["expr"] == "up == 0"
    assert query["model"]["instant"] is True
    assert query["datasourceUid"] == "prom"
    assert value["model"]["expression"] == "is_number($query) || is_nan($query) || is_inf($query)"
    assert threshold["model"]["expression"] == value["refId"]
    assert rule(tmp_path)["condition"] == threshold["refId"]
    assert rule(tmp_path)["noDataState"] == "OK"


def test_waits_labels_and_texts_are_the_same(tmp_path: Path) -> None:
    first, second = rule(tmp_path), rule(tmp_path, 1)

    assert (first["for"], first["keep_firing_for"], second["for"]) == ("90s", "5m", "0s")
    assert first["labels"] == {"team": "lab", "severity": "warning"}


def test_the_value_of_prometheus_is_the_querys_in_grafana(tmp_path: Path) -> None:
    number = "$values.query.Value"
    assert rule(tmp_path)["annotations"]["summary"] == (
        f"{{{{ {number} }}}} of {{{{ {number} | humanize }}}}, {{{{ $labels.arch }}}}, a $value, {{{{ $values.x }}}}"
    )


def test_uids_are_the_rules_names_and_distinct() -> None:
    groups = read_alerts(bundled("prometheus/rules/alerts.yml"), "prom")
    uids = [each["uid"] for group in groups for each in group.rules]

    assert len(uids) == len(set(uids)) >= 5
    assert all(len(uid) <= MAX_UID and uid == uid.lower() for uid in uids)


def test_rules_of_one_name_have_uids_of_their_own(tmp_path: Path) -> None:
    assert [rule(tmp_path, number)["uid"] for number in (0, 1)] == ["nodes-stuck", "nodes-stuck-2"]


@pytest.mark.parametrize(
    ("text", "expected"), [("0", 0), ("90s", 90_000), ("1m30s", 90_000), ("250ms", 250), ("1d", 86_400_000)]
)
def test_durations(text: str, expected: int) -> None:
    assert milliseconds(text) == expected


@pytest.mark.parametrize("text", ["", "5", "m5", "5 m", "1.5h", "-1s"])
def test_no_durations(text: str) -> None:
    with pytest.raises(ValueError, match="is no duration"):
        milliseconds(text)


@pytest.mark.parametrize("text", ["groups: 3", "rules: []", "groups: [{name: x, rules: [{alert: y}]}]"])
def test_what_is_no_rule_file(tmp_path: Path, text: str) -> None:
    with pytest.raises(SpecError, match="no file of alert rules"):
        converted(tmp_path, text)
