"""The committed boards: built from the code, and by the rules of Grafana's dashboard-linter."""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from orchestrator.grafana.boards import style
from orchestrator.grafana.boards.build import build_all, differences, importable
from orchestrator.grafana.boards.compare import ComparedTrial
from orchestrator.grafana.boards.layout import BOARDS, FIT, SAME_TIME_TAG
from orchestrator.grafana.boards.scorecards import TIMES, quantity_columns
from orchestrator.grafana.push import DATASOURCE_UID
from orchestrator.model.events import PHASES, STATE_NUMBERS
from orchestrator.model.scorecard import Scorecard
from tests.support.board_queries import panels_of

ROOT = Path(__file__).parents[4]
BUILT = build_all()
Board = dict[str, Any]
Panel = dict[str, Any]

RETIRED = {"graph", "singlestat", "table-old", "grafana-piechart-panel", "grafana-worldmap-panel"}

# Units that say nothing, and where they are right.
WITHOUT_UNIT = {
    "state-timeline": "its values are names",
    "Phase": "a name",
    "Setting": "a name",
    "Valid": "a name",
    "table": "its columns have units, in their headings or of their own",
}


def boards() -> Iterator[Board]:
    return map(json.loads, BUILT.values())


def panels() -> Iterator[tuple[str, Panel]]:
    """All panels but the rows' titles, each with its board."""
    for board in boards():
        yield from ((board["uid"], panel) for panel in panels_of(board))


def test_the_committed_boards_are_those_of_the_code() -> None:
    assert differences(ROOT / "grafana" / "dashboards") == []


def test_building_twice_gives_the_same_text() -> None:
    assert build_all() == BUILT
    assert all(text.endswith("}\n") for text in BUILT.values())


def test_there_is_a_board_for_each_name() -> None:
    assert sorted(board["uid"] for board in boards()) == sorted(BOARDS)


def reached_from(board: Board) -> set[str]:
    """The boards that the links above the panels lead to, through the menu of a tag too; also those of tables."""
    by_tag = {tag: {each["uid"] for each in boards() if tag in each["tags"]} for tag in (SAME_TIME_TAG,)}
    found = set(re.findall(r'"/d/([\w-]+)', json.dumps(board)))
    for each in board["links"]:
        found |= by_tag[each["tags"][0]] if each["type"] == "dashboards" else set()
    return found


def test_each_board_leads_to_others_and_back() -> None:
    ways = {board["uid"]: reached_from(board) - {board["uid"]} for board in boards()}

    assert all(ways.values())
    assert {"orchestrate-sweep", "orchestrate-nodes", "orchestrate-compare"} <= ways["orchestrate-trial"]
    assert {"orchestrate-trial", "orchestrate-compare", "orchestrate-health"} <= ways["orchestrate-sweep"]
    for board in boards():
        menus = [link for link in board["links"] if link["type"] == "dashboards"]
        assert ways[board["uid"]] <= BOARDS.keys()
        assert all(menu["asDropdown"] for menu in menus)


def test_a_link_takes_a_time_range_along_only_where_it_means_the_same() -> None:
    for board in boards():
        for link in board["links"]:
            of_the_year_2000 = board["uid"] == "orchestrate-compare"
            assert link["keepTime"] is (link["type"] == "dashboards" and not of_the_year_2000)
            if (
                board["uid"] in ("orchestrate-compare", "orchestrate-health", "orchestrate-cluster")
                and link["title"] != FIT
            ):
                assert not link["includeVars"]


def test_what_a_link_fills_in_is_a_variable_of_its_board() -> None:
    seen = 0
    for board in boards():
        names = {each["name"] for each in board["templating"]["list"]}
        for link in board["links"]:
            used = set(re.findall(r"\$\{(\w+)\}", link.get("url", "")))
            seen += len(used)
            assert used <= names, (board["uid"], link["title"])
    assert seen > 10


@pytest.mark.parametrize("uid", ["orchestrate-trial", "orchestrate-nodes", "orchestrate-sweep", "orchestrate-compare"])
def test_the_time_range_can_be_made_that_of_what_is_shown(uid: str) -> None:
    board = next(each for each in boards() if each["uid"] == uid)
    (link,) = (each for each in board["links"] if each["title"] == FIT)
    parts = urlsplit(link["url"])

    assert (parts.path, link["includeVars"], link["keepTime"]) == (f"/d/{uid}", True, False)
    assert parse_qs(parts.query).keys() == {"from", "to"}


def test_few_controls_stand_above_the_panels() -> None:
    for board in boards():
        hidden = [each["hide"] for each in board["annotations"]["list"]]
        shown = [each for each in board["templating"]["list"] if each.get("hide") != 2]

        assert all(hidden), board["uid"]
        assert len(board["links"]) <= 4, board["uid"]
        # A time picker leaves them a third of a narrow window, where four fill three rows; links are the fourth.
        assert len(shown) <= (6 if board["timepicker"]["hidden"] else 4), board["uid"]


def test_annotations_mark_the_panels_that_are_meant() -> None:
    marked = {}
    for board in boards():
        titles = {panel["id"]: panel["title"] for panel in panels_of(board)}
        for each in board["annotations"]["list"]:
            assert each["filter"]["exclude"] is False
            marked[board["uid"]] = {titles[number] for number in each["filter"]["ids"]}

    assert marked == {
        "orchestrate-trial": {"Pending tasks, nodes and CPU use by architecture"},
        "orchestrate-nodes": {"Node states", "CPU load by node"},
        "orchestrate-sweep": {"Trials over time"},
        "orchestrate-compare": {"Pending tasks"},
    }


def test_each_panel_says_for_which_version_it_is_written() -> None:
    """Grafana rewrites the options of a panel without one as if they were of before 11.1."""
    for board, panel in panels():
        numbers = [int(each) for each in panel["pluginVersion"].split(".")]
        assert numbers >= [11, 1], (board, panel["title"])


def test_each_large_number_is_asked_for_at_one_moment() -> None:
    """The last value of a range query depends on its step, and so on the time range."""
    stats = [(board, panel) for board, panel in panels() if panel["type"] == "stat"]

    assert len(stats) > 15
    for board, panel in stats:
        for target in panel["targets"]:
            assert (target["instant"], target["range"]) == (True, False), (board, panel["title"])
            assert "_over_time(" in target["expr"], (board, panel["title"])


def properties(panel: Panel, matches: Callable[[Any], bool]) -> dict[str, Any]:
    """What the defaults and the overrides that match say of a field, the last one winning."""
    found = dict(flat(panel["fieldConfig"]["defaults"]))
    for override in panel["fieldConfig"]["overrides"]:
        if matches(override["matcher"]):
            found |= {each["id"]: each["value"] for each in override["properties"]}
    return found


def flat(defaults: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    yield from ((f"custom.{name}", value) for name, value in defaults.get("custom", {}).items())
    yield from ((name, value) for name, value in defaults.items() if name != "custom")


def looks_of(panel: Panel, target: Any, arch: str) -> dict[str, Any]:
    """What one architecture's series of a query looks like."""
    name = target["legendFormat"].replace("{{arch}}", arch)

    def matches(matcher: Any) -> bool:
        if matcher["id"] == "byFrameRefID":
            return bool(matcher["options"] == target["refId"])
        return re.search(matcher["options"].strip("/"), name) is not None

    return properties(panel, matches)


def test_no_architecture_hides_another_with_the_same_values() -> None:
    """Each series is stacked, or alone on its panel, or at least 2 px wider than all that are drawn over it."""
    checked = 0
    for board, panel in panels():
        if panel["type"] != "timeseries" or panel.get("repeat") == "arch":
            continue
        for target in panel["targets"]:
            if "{{arch}}" not in target["legendFormat"] or "{{node}}" in target["legendFormat"]:
                continue
            looks = {arch: looks_of(panel, target, arch) for arch in sorted(style.ARCH)}
            stacked = all(each["custom.stacking"]["mode"] == "normal" for each in looks.values())
            widths = [each["custom.lineWidth"] for each in looks.values()]
            narrower = all(a - b >= 2 for a, b in pairwise(widths))
            checked += 1
            assert stacked or narrower, (board, panel["title"], target["legendFormat"])
    assert checked > 8


def test_no_compared_trial_hides_another_with_the_same_values() -> None:
    checked = 0
    for board, panel in panels():
        if board != "orchestrate-compare" or panel["type"] != "timeseries":
            continue
        queries = panel["targets"]
        per_trial = len(queries) // 4
        for part in range(per_trial):
            widths = [looks_of(panel, each, "")["custom.lineWidth"] for each in queries[part::per_trial]]
            checked += 1
            assert all(a - b >= 2 for a, b in pairwise(widths)), panel["title"]
            assert all(each == round(each) for each in widths), "a part of a pixel mixes colours"
    assert checked >= 5


@pytest.mark.parametrize("title", ["Makespan against cost", "Under- and over-provisioning"])
def test_a_scatter_plot_takes_the_fields_that_grafana_makes(title: str) -> None:
    """After partitioning, Grafana calls a field by its name, then by its labels."""
    panel = next(panel for _, panel in panels() if panel["title"] == title)
    (series,) = panel["options"]["series"]
    overrides = {each["matcher"]["options"]: each["properties"] for each in panel["fieldConfig"]["overrides"]}
    fields = [f"{name} v1 speed=1 idle=5" for name in ("makespan_s", "cost_usd", "theta_u", "theta_o")]

    for axis in ("x", "y"):
        pattern = series[axis]["matcher"]["options"]
        (field,) = (each for each in fields if re.search(pattern.strip("/"), each))
        assert field.partition(" ")[0] in panel["targets"][0]["expr"]
        assert [each["id"] for each in overrides[pattern]].count("custom.axisLabel") == 1
        assert "min" not in {each["id"] for each in overrides[pattern]}, "all points would be in one corner"


@pytest.mark.parametrize("title", ["Makespan against cost", "Under- and over-provisioning"])
def test_equal_points_are_rings_of_different_sizes(title: str) -> None:
    """Rows are numbered by setting, and the number is the size: no two points have the same."""
    panel = next(panel for _, panel in panels() if panel["title"] == title)
    (series,) = panel["options"]["series"]
    steps = {each["id"]: each["options"] for each in panel["transformations"]}
    drawn = panel["fieldConfig"]["defaults"]["custom"]

    assert re.search(series["size"]["matcher"]["options"].strip("/"), f"{steps['calculateField']['alias']} v2 speed=1")
    assert steps["calculateField"]["mode"] == "index"
    assert list(steps).index("sortBy") < list(steps).index("calculateField") < list(steps).index("partitionByValues")
    assert (drawn["fillOpacity"], drawn["pointStrokeWidth"]) == (0, 2)
    assert drawn["pointSize"]["max"] > 4 * drawn["pointSize"]["min"]


def test_a_hidden_column_is_hidden_in_each_grafana() -> None:
    """12.2 reads `hideFrom.viz` and moves nothing for a panel of its own version; before it was `hidden`."""
    ids = [{each["id"] for each in override["properties"]} for override in overrides_of_all()]
    hidden = [each for each in ids if each & {"custom.hidden", "custom.hideFrom.viz"}]

    assert hidden
    assert all({"custom.hidden", "custom.hideFrom.viz"} <= each for each in hidden)


def overrides_of_all() -> list[dict[str, Any]]:
    return [override for _, panel in panels() for override in panel["fieldConfig"].get("overrides") or ()]


def test_seconds_that_are_compared_stay_seconds() -> None:
    """The unit `s` makes 574.0 and 582.5 the same 9.7 minutes, and `short` makes 6400 tasks 6 K."""
    for board in boards():
        units = {each["unit"] for each in walk(board) if "unit" in each}
        values = {each["value"] for each in walk(board) if each.get("id") == "unit"}
        assert not {"s", "dtdurations", "short"} & (units | values), board["uid"]


def walk(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
        yield from (each for inner in value.values() for each in walk(inner))
    elif isinstance(value, list):
        yield from (each for inner in value for each in walk(inner))


def test_a_timeline_of_one_page_has_no_pager() -> None:
    pages = {
        panel["title"]: panel["options"].get("perPage") for _, panel in panels() if panel["type"] == "state-timeline"
    }

    assert pages == {
        "Phases": None,
        "Why no other node comes": None,
        "Node states": 30,
        "Targets": 20,
        "Trials over time": 20,
        "Alerts over time": None,
        "Bottleneck": None,
    }


def test_each_board_asks_nothing_for_a_row_that_is_closed() -> None:
    closed = [(board["uid"], row["title"]) for board in boards() for row in board["panels"] if row.get("collapsed")]

    assert closed == [("orchestrate-health", "v1 autoscaler only")]


@pytest.mark.parametrize("name", BUILT)
def test_a_board_is_a_classic_one_with_unique_ids_and_panels_side_by_side(name: str) -> None:
    board = json.loads(BUILT[name])
    rows = [panel for panel in board["panels"] if panel["type"] == "row"]
    ids = sorted(panel["id"] for panel in [*rows, *panels_of(board)])
    taken: set[tuple[int, int]] = set()

    assert board["schemaVersion"] == 42
    assert "orchestrate" in board["tags"]
    assert board["description"]
    assert ids == list(range(1, len(ids) + 1))
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
    assert all(target["datasource"] for panel in panels_of(board) for target in panel.get("targets", []))


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
    panel = next(panel for _, panel in panels() if panel["title"] == "Node states")
    (mapping,) = panel["fieldConfig"]["defaults"]["mappings"]
    shown = {result["text"]: (value, result["color"]) for value, result in mapping["options"].items()}

    assert {state: (str(number), style.STATE[state]) for state, number in STATE_NUMBERS.items()} == {
        state: each for state, each in shown.items() if state != style.BLANK
    }
    assert (STATE_NUMBERS["requested"], STATE_NUMBERS["failed"]) == (1, 8)


def test_a_phase_is_shown_by_its_name_in_words() -> None:
    panel = next(panel for _, panel in panels() if panel["title"] == "Phases")
    (mapping,) = panel["fieldConfig"]["defaults"]["mappings"]

    assert [each["text"] for each in mapping["options"].values()] == [phase.replace("_", " ") for phase in PHASES]
    assert "scaling_down" in PHASES


def test_a_node_is_called_the_same_in_its_life_and_in_what_its_machine_does() -> None:
    targets = {panel["title"]: panel["targets"][0] for board, panel in panels() if board == "orchestrate-nodes"}
    life, machine = targets["Node states"], targets["CPU load by node"]

    assert life["legendFormat"] == machine["legendFormat"] == "{{node}} {{arch}}"
    assert "by (node, arch)" in machine["expr"]
    assert life["expr"].partition(", ")[2][-40:] == machine["expr"][-40:], "cut alike"
    assert 'RayNodeType="worker"' in machine["expr"]


def test_a_board_that_may_be_live_is_refreshed_and_one_of_ended_trials_is_not() -> None:
    assert {board["uid"]: board["refresh"] for board in boards() if board.get("refresh")} == {
        f"orchestrate-{name}": "10s" for name in ("trial", "nodes", "sweep", "health", "cluster")
    }


def test_each_column_of_the_scorecards_is_a_quantity_of_theirs() -> None:
    assert {column.name for column in quantity_columns()} <= Scorecard.model_fields.keys()


def test_a_trial_of_a_scorecard_leads_to_its_board_at_its_time() -> None:
    for table in (panel for _, panel in panels() if panel["title"] == "Scorecards"):
        columns = {each["matcher"]["options"]: each["properties"] for each in table["fieldConfig"]["overrides"]}
        (link,) = next(each["value"] for each in columns["Trial"] if each["id"] == "links")

        assert {column.heading for column in TIMES} == {"Started", "Ended"} <= columns.keys()
        assert "&var-sweep_id=${__data.fields.Sweep}&var-trial_id=${__value.text}&" in link["url"]
        times = "&from=${__data.fields.Started.numeric}&to=${__data.fields.Ended.numeric}&refresh="
        assert link["url"].endswith(times)
        assert all(
            {"id": "custom.hidden", "value": True} in each["properties"]
            for each in table["fieldConfig"]["overrides"]
            if each["matcher"]["options"] in ("Started", "Ended") and len(each["properties"]) == 1
        )


@pytest.mark.parametrize("board", ["trial.json", "nodes.json", "sweep.json"])
def test_a_trial_that_is_looked_at_is_the_first_of_those_compared(board: str) -> None:
    document = json.loads(BUILT[board])
    values = {"datasource": "d", "sweep_id": "s", "trial_id": "t"}
    values |= {"__data.fields.Sweep": "s", "__data.fields.Trial": "t"}
    urls = re.findall(r'"(/d/orchestrate-compare\?[^"]+var-base[^"]+)"', json.dumps(document))
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


@pytest.mark.parametrize("name", BUILT)
def test_for_an_import_by_hand_a_board_asks_for_its_data_source(name: str) -> None:
    document = json.loads(importable(BUILT[name]))
    ((asked),) = document.pop("__inputs")
    needed = {each["id"] for each in document.pop("__requires") if each["type"] == "panel"}
    variable = document["templating"]["list"][0]

    assert (asked["type"], asked["pluginId"]) == ("datasource", "prometheus")
    assert variable.pop("current")["value"] == f"${{{asked['name']}}}"
    assert needed == {panel["type"] for panel in panels_of(document)}
    committed = json.loads(BUILT[name])
    committed["templating"]["list"][0].pop("current")
    assert document == committed, "nothing else differs"
