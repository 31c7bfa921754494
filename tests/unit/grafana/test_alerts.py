"""Prometheus alert rules become Grafana-managed ones that fire at the same time and say the same."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from orchestrator.assets import bundled
from orchestrator.errors import SpecError
from orchestrator.grafana.alerts import MAX_UID, PANELS, TELLS_OF_OUTAGE, AlertGroup, milliseconds, read_alerts
from orchestrator.grafana.boards.build import build_all
from tests.support.board_queries import panels_of

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


def of_ours(**options: Any) -> list[dict[str, Any]]:
    boards = [json.loads(text) for text in build_all().values()]
    groups = read_alerts(bundled("prometheus/rules/alerts.yml"), "prom", boards=boards, **options)
    return [each for group in groups for each in group.rules]


def test_one_outage_of_prometheus_is_one_alert() -> None:
    assert [each["title"] for each in of_ours() if each["execErrState"] == "Error"] == [TELLS_OF_OUTAGE]
    assert {each["execErrState"] for each in of_ours() if each["title"] != TELLS_OF_OUTAGE} == {"KeepLast"}


def test_each_alert_leads_to_a_panel_of_a_board() -> None:
    boards = {board["uid"]: board for board in map(json.loads, build_all().values())}
    shown = {}
    for each in of_ours():
        panels = {str(panel["id"]): panel for panel in panels_of(boards[each["annotations"]["__dashboardUid__"]])}
        shown[each["title"]] = panels[each["annotations"]["__panelId__"]]["title"]

    assert shown == {name: title for name, (_, title) in PANELS.items()}


def test_each_alert_has_the_address_of_the_same_board_and_of_the_cluster_if_it_is_observed() -> None:
    variables = {
        board["uid"]: {each["name"] for each in board["templating"]["list"]}
        for board in map(json.loads, build_all().values())
    }
    condition, alternatives = r'\{\{ if eq \$labels\.sweep_id "observed" \}\}', r"(.+)\{\{ else \}\}(.+)\{\{ end \}\}"
    for each in of_ours():
        found = re.fullmatch(condition + alternatives, each["annotations"]["dashboard"])
        assert found, each["title"]
        boards = []
        for address in found.groups():
            path, _, query = address.partition("?")
            boards.append(path.removeprefix("/d/"))
            given = dict(part.split("=") for part in query.split("&"))
            assert {name.removeprefix("var-") for name in given} <= variables[boards[-1]], each["title"]
            assert all(re.fullmatch(r"\{\{ \$labels\.\w+ \}\}", value) for value in given.values()), each["title"]
        assert boards == ["orchestrate-cluster", each["annotations"]["__dashboardUid__"]], each["title"]


def test_each_alert_has_a_section_of_the_runbook() -> None:
    text = (Path(__file__).parents[3] / "docs" / "runbook.md").read_text()
    sections = dict(re.findall(r"^## (\w+)\n(.*?)(?=^## |\Z)", text, re.DOTALL | re.MULTILINE))

    assert sections.keys() == {each["title"] for each in of_ours()} == PANELS.keys()
    for each in of_ours():
        assert each["annotations"]["runbook_url"] == f"docs/runbook.md#{each['title'].lower()}"
    assert all(all(part in body for part in ("**Meaning.**", "**Look.**", "**Do.**")) for body in sections.values())


def test_an_alert_leads_to_the_runbook_where_people_can_read_it() -> None:
    for each in of_ours(runbook_url="https://wiki.example.com/runbook"):
        assert each["annotations"]["runbook_url"] == f"https://wiki.example.com/runbook#{each['title'].lower()}"


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
    with pytest.raises(ValueError, match="is not a duration"):
        milliseconds(text)


@pytest.mark.parametrize("text", ["groups: 3", "rules: []", "groups: [{name: x, rules: [{alert: y}]}]"])
def test_what_is_no_rule_file(tmp_path: Path, text: str) -> None:
    with pytest.raises(SpecError, match="not a file of alert rules"):
        converted(tmp_path, text)
