"""The committed boards: built from the code, and by the rules of Grafana's dashboard-linter."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from orchestrator.grafana.boards import style
from orchestrator.grafana.boards.build import build_all, differences
from orchestrator.grafana.boards.compare import ComparedTrial
from orchestrator.grafana.boards.layout import BOARDS
from orchestrator.grafana.boards.scorecards import TIMES, quantity_columns
from orchestrator.grafana.push import DATASOURCE_UID
from orchestrator.model.scorecard import Scorecard

ROOT = Path(__file__).parents[4]
BUILT = build_all()
Board = dict[str, Any]
Panel = dict[str, Any]

RETIRED = {"graph", "singlestat", "table-old", "grafana-piechart-panel", "grafana-worldmap-panel"}

# Units that say nothing, and where they are right.
WITHOUT_UNIT = {"state-timeline": "its values are names", "Phase": "a name"}


def boards() -> Iterator[Board]:
    return map(json.loads, BUILT.values())


def panels() -> Iterator[tuple[str, Panel]]:
    """All panels but the rows' titles, each with its board."""
    for board in boards():
        yield from ((board["uid"], panel) for panel in board["panels"] if panel["type"] != "row")


def test_the_committed_boards_are_those_of_the_code() -> None:
    assert differences(ROOT / "grafana" / "dashboards") == []


def test_building_twice_gives_the_same_text() -> None:
    assert build_all() == BUILT
    assert all(text.endswith("}\n") for text in BUILT.values())


def test_there_is_a_board_for_each_link_and_each_links_to_all_others() -> None:
    uids = [board["uid"] for board in boards()]

    assert sorted(uids) == sorted(BOARDS)
    for board in boards():
        led_to = {link["url"].partition("?")[0] for link in board["links"]}
        assert led_to == {f"/d/{uid}" for uid in BOARDS if uid != board["uid"]}


def test_links_carry_time_and_trial_to_where_they_mean_the_same() -> None:
    for board in boards():
        for link in board["links"]:
            own_time = "orchestrate-compare" in f"{board['uid']} {link['url']}"
            several = board["uid"] in ("orchestrate-compare", "orchestrate-health")

            assert link["keepTime"] is not own_time
            if several:
                assert link["url"].endswith("?var-datasource=${datasource}")
            else:
                assert link["includeVars"] or "var-base" in link["url"]


@pytest.mark.parametrize("name", BUILT)
def test_a_board_is_a_classic_one_with_unique_ids_and_panels_side_by_side(name: str) -> None:
    board = json.loads(BUILT[name])
    ids = [panel["id"] for panel in board["panels"]]
    taken: set[tuple[int, int]] = set()

    assert board["schemaVersion"] == 42
    assert "orchestrate" in board["tags"]
    assert board["description"]
    assert sorted(ids) == list(range(1, len(ids) + 1))
    for panel in board["panels"]:
        at = panel["gridPos"]
        cells = {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}
        assert panel["type"] not in RETIRED
        assert at["x"] + at["w"] <= 24
        assert not cells & taken
        taken |= cells


def data_sources(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        yield from ([value["datasource"]] if "datasource" in value else [])
        yield from (each for item in value.values() for each in data_sources(item))
    elif isinstance(value, list):
        yield from (each for item in value for each in data_sources(item))


@pytest.mark.parametrize("name", BUILT)
def test_each_data_source_is_the_variable_which_begins_with_ours(name: str) -> None:
    board = json.loads(BUILT[name])
    first = board["templating"]["list"][0]

    assert (first["type"], first["name"], first["query"]) == ("datasource", "datasource", "prometheus")
    assert first["current"]["value"] == DATASOURCE_UID
    for annotation in board["annotations"]["list"]:
        if annotation["datasource"] == {"type": "grafana", "uid": "-- Grafana --"}:
            del annotation["datasource"]
    assert all(found == {"type": "prometheus", "uid": "${datasource}"} for found in data_sources(board))
    assert all(target["datasource"] for panel in board["panels"] for target in panel.get("targets", []))


@pytest.mark.parametrize(
    ("board", "panel"), [pytest.param(*each, id=f"{each[0]} {each[1]['title']}") for each in panels()]
)
def test_each_panel_says_what_it_shows_in_which_unit_and_what_if_nothing(board: str, panel: Panel) -> None:
    defaults = panel["fieldConfig"]["defaults"]
    refs = [target["refId"] for target in panel["targets"]]

    assert panel["title"]
    assert panel["description"].endswith(".")
    assert defaults["noValue"]
    assert refs
    assert len(set(refs)) == len(refs)
    assert defaults["unit"] != "none" or {panel["type"], panel["title"]} & WITHOUT_UNIT.keys()
    if panel["type"] == "timeseries":
        assert defaults["min"] == 0
        assert all(target["legendFormat"] for target in panel["targets"])


def test_lines_of_counts_are_steps() -> None:
    for _, panel in panels():
        custom = panel["fieldConfig"]["defaults"].get("custom", {})
        counts = panel["fieldConfig"]["defaults"]["unit"] in (style.COUNT, style.CPUS)
        if panel["type"] == "timeseries" and counts and custom["drawStyle"] == "line":
            assert custom["lineInterpolation"] == "stepAfter", panel["title"]


def test_an_architecture_has_its_colour_on_each_graph_that_shows_it() -> None:
    wanted = {f"/(^| ){arch}$/": colour for arch, colour in style.ARCH.items()}
    shown = 0
    for board, panel in panels():
        if panel["type"] != "timeseries" or "{{arch}}" not in str([each["legendFormat"] for each in panel["targets"]]):
            continue
        shown += 1
        found = {
            override["matcher"]["options"]: each["value"]["fixedColor"]
            for override in panel["fieldConfig"]["overrides"]
            for each in override["properties"]
            if each["id"] == "color"
        }

        assert wanted.items() <= found.items(), (board, panel["title"])
        assert all(
            each["legendFormat"].endswith("{{arch}}") for each in panel["targets"] if "{{arch}}" in each["legendFormat"]
        )
    assert shown > 8


def test_each_state_of_a_node_has_its_name_and_colour() -> None:
    panel = next(panel for _, panel in panels() if panel["title"] == "States of nodes")
    (mapping,) = panel["fieldConfig"]["defaults"]["mappings"]
    shown = {result["text"]: (value, result["color"]) for value, result in mapping["options"].items()}

    assert {state: (str(number), style.STATE[state]) for state, number in style.STATE_NUMBERS.items()} == {
        state: each for state, each in shown.items() if state
    }
    assert (style.STATE_NUMBERS["requested"], style.STATE_NUMBERS["failed"]) == (1, 8)


def test_a_node_is_called_the_same_in_its_life_and_in_what_its_machine_does() -> None:
    targets = {panel["title"]: panel["targets"][0] for board, panel in panels() if board == "orchestrate-nodes"}
    life, machine = targets["States of nodes"], targets["Processors of each node"]

    assert life["legendFormat"] == machine["legendFormat"] == "{{node}} {{arch}}"
    assert "by (node, arch)" in machine["expr"]
    assert 'RayNodeType="worker"' in machine["expr"]


def test_a_board_that_may_be_live_is_as_fresh_as_the_scrapes() -> None:
    assert {board["uid"]: board["refresh"] for board in boards() if board.get("refresh")} == {
        f"orchestrate-{name}": "5s" for name in ("trial", "nodes", "sweep", "health")
    }


def test_each_column_of_the_scorecards_is_a_quantity_of_theirs() -> None:
    assert {column.name for column in quantity_columns()} <= Scorecard.model_fields.keys()


def test_a_trial_of_a_scorecard_leads_to_its_board_at_its_time() -> None:
    for table in (panel for _, panel in panels() if panel["title"] == "Scorecards"):
        columns = {each["matcher"]["options"]: each["properties"] for each in table["fieldConfig"]["overrides"]}
        (link,) = next(each["value"] for each in columns["Trial"] if each["id"] == "links")

        assert {column.heading for column in TIMES} == {"Started", "Ended"} <= columns.keys()
        assert "&var-sweep_id=${__data.fields.Sweep}&var-trial_id=${__value.text}&" in link["url"]
        assert link["url"].endswith("&from=${__data.fields.Started.numeric}&to=${__data.fields.Ended.numeric}")


@pytest.mark.parametrize("board", ["trial.json", "nodes.json", "sweep.json"])
def test_a_trial_that_is_looked_at_is_the_first_of_those_compared(board: str) -> None:
    document = json.loads(BUILT[board])
    values = {"datasource": "d", "sweep_id": "s", "trial_id": "t"}
    values |= {"__data.fields.Sweep": "s", "__data.fields.Trial": "t"}
    urls = re.findall(r'"(/d/orchestrate-compare\?[^"]+)"', json.dumps(document))
    (url,) = {re.sub(r"\$\{([\w.]+)\}", lambda found: values[found[1]], url) for url in urls}

    assert parse_qs(urlsplit(url).query) == {
        "var-datasource": ["d"],
        "var-sweep_id": ["s"],
        "var-base": [ComparedTrial("s", "t", 1.0).matchers],
    }


def test_node_states_are_stacked_in_the_order_of_a_nodes_life() -> None:
    panel = next(panel for _, panel in panels() if panel["title"] == "Node states: $arch")
    states = [re.findall(r'state="(\w+)"', target["expr"]) for target in panel["targets"]]

    assert states == [["requested"], ["allocated"], ["installing"], ["running"], ["idle"], ["draining"]]
    assert [target["refId"] for target in panel["targets"]] == list("ABCDEF")
