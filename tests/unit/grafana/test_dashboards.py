"""The committed boards: built from the code, by the rules of Grafana's dashboard-linter, on metrics that exist."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from orchestrator.cli.app import app
from orchestrator.grafana import style
from orchestrator.grafana.build import board_json, build_all, differences, write_all
from orchestrator.grafana.compare import ComparedTrial, compare_board
from orchestrator.grafana.interpolation import fill, queries_of
from orchestrator.grafana.parts import BOARDS
from orchestrator.grafana.scorecards import QUANTITIES
from orchestrator.model.scorecard import Scorecard

ROOT = Path(__file__).parents[3]
BUILT = build_all()
Board = dict[str, Any]
Panel = dict[str, Any]

RETIRED = {"graph", "singlestat", "table-old", "grafana-piechart-panel", "grafana-worldmap-panel"}

# What Ray 2.60 exports: ray/autoscaler/_private/prom_metrics.py, ray/dashboard/modules/reporter.
RAYS = {
    "autoscaler_active_nodes",
    "autoscaler_cluster_resources",
    "autoscaler_config_validation_exceptions_total",
    "autoscaler_drain_node_exceptions_total",
    "autoscaler_failed_create_nodes_total",
    "autoscaler_node_launch_exceptions_total",
    "autoscaler_pending_nodes",
    "autoscaler_pending_resources",
    "autoscaler_recently_failed_nodes",
    "autoscaler_reset_exceptions_total",
    "autoscaler_started_nodes_total",
    "autoscaler_stopped_nodes_total",
    "autoscaler_update_loop_exceptions_total",
    "autoscaler_update_time_seconds_bucket",
    "autoscaler_update_time_seconds_count",
    "autoscaler_worker_create_node_time_seconds_bucket",
    "ray_cluster_active_nodes",
    "ray_cluster_failed_nodes",
    "ray_cluster_idle_nodes",
    "ray_cluster_pending_nodes",
    "ray_node_cpu_utilization",
}
PROMETHEUS_OWN = {"up", "scrape_duration_seconds", "scrape_samples_scraped"}

# Counters that stand outside of rate() and increase(), and why.
BARE_COUNTERS = {
    "orchestrator_scaling_events_total": "exact differences: increase() misses the event that a series begins with",
    "orchestrator_faults_total": "exact differences, for the same reason",
    "orchestrator_node_stage_seconds_bucket": "exact differences, for the same reason",
    "orchestrator_node_stage_seconds_count": "begins at 0 with its trial: its last value is the whole trial",
}
# Units that say nothing, and where they are right.
WITHOUT_UNIT = {"state-timeline": "its values are names", "Phase": "a name"}


def boards() -> Iterator[Board]:
    return map(json.loads, BUILT.values())


def panels() -> Iterator[tuple[str, Panel]]:
    """All panels but the rows' titles, each with its board."""
    for board in boards():
        yield from ((board["uid"], panel) for panel in board["panels"] if panel["type"] != "row")


def expressions() -> list[str]:
    """Each query as Prometheus gets it."""
    values = {"sweep_id": "s", "trial_id": "t", "arch": "x86_64|arm64"}
    return sorted({expr for board in BUILT.values() for _, _, expr in queries_of(board, values)})


def raw_expressions() -> list[str]:
    return sorted(
        {target["expr"] for _, panel in panels() for target in panel["targets"]}
        | {each["target"]["expr"] for board in boards() for each in board["annotations"]["list"]}
    )


def metrics_in(expr: str) -> set[str]:
    """The names of metrics: what is left without strings, label lists, durations, functions and keywords."""
    rest = re.sub(r'"[^"]*"', "", expr)
    rest = re.sub(r"\{[^}]*\}|\[[^\]]*\]|\bby \([^)]*\)|offset -?\d+\w+", " ", rest)
    names = re.findall(r"[a-zA-Z_:][\w:]*(?!\w|\s*\()", rest)
    return {name for name in names if name not in ("or", "and", "unless", "offset")}


def documented_metrics() -> dict[str, str]:
    """Each series of docs/metrics.md and its type."""
    series: dict[str, str] = {}
    for line in (ROOT / "docs" / "metrics.md").read_text().splitlines():
        cells = [cell.strip() for cell in line.split("|")]
        if len(cells) < 5 or not cells[1].startswith("`"):
            continue
        for name in re.findall(r"`(\w+)`", cells[1]):
            suffixes = ("_bucket", "_count", "_sum") if cells[2] == "histogram" else ("",)
            series.update({f"orchestrator_{name}{suffix}": cells[2] for suffix in suffixes})
    return series


def recorded_metrics() -> set[str]:
    rules = yaml.safe_load((ROOT / "prometheus" / "rules" / "recording.yml").read_text())
    return {rule["record"] for group in rules["groups"] for rule in group["rules"]}


def test_the_committed_boards_are_those_of_the_code() -> None:
    assert differences(ROOT / "grafana" / "dashboards") == []


def test_building_twice_gives_the_same_text() -> None:
    assert build_all() == BUILT
    assert all(text.endswith("}\n") for text in BUILT.values())


def test_there_is_a_board_for_each_link_and_each_links_to_all_others() -> None:
    uids = [board["uid"] for board in boards()]

    assert sorted(uids) == sorted(BOARDS)
    for board in boards():
        assert {link["url"] for link in board["links"]} == {f"/d/{uid}" for uid in BOARDS if uid != board["uid"]}


def test_no_link_carries_a_time_to_or_from_the_board_of_elapsed_time() -> None:
    for board in boards():
        for link in board["links"]:
            own_time = "orchestrate-compare" in (board["uid"], link["url"].removeprefix("/d/"))

            assert link["keepTime"] is not own_time


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
def test_each_data_source_is_the_variable(name: str) -> None:
    board = json.loads(BUILT[name])
    first = board["templating"]["list"][0]

    assert (first["type"], first["name"], first["query"]) == ("datasource", "datasource", "prometheus")
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


def test_each_query_asks_for_metrics_that_exist() -> None:
    known = documented_metrics().keys() | recorded_metrics() | RAYS | PROMETHEUS_OWN
    asked = {metric for expr in expressions() for metric in metrics_in(expr)}

    assert asked - known == set()
    assert asked >= RAYS | PROMETHEUS_OWN, "no name stands here in vain"


def test_each_rate_is_over_the_rate_interval() -> None:
    windows = [
        window for expr in raw_expressions() for window in re.findall(r"\b(?:rate|increase)\([^[]*\[([^\]]*)\]", expr)
    ]

    assert set(windows) == {"$__rate_interval"}


def test_counters_are_under_rate_or_increase_but_for_the_exceptions() -> None:
    counters = {name for name, kind in documented_metrics().items() if kind in ("counter", "histogram")}
    counters |= {name for name in RAYS if name.endswith(("_total", "_bucket", "_count"))}
    bare = {
        name
        for expr in raw_expressions()
        for name in counters & metrics_in(expr.replace("$", ""))
        if re.search(rf"(?<!rate\()(?<!increase\(){name}\b", expr)
    }

    assert bare == BARE_COUNTERS.keys()


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool isn't installed")
def test_each_query_is_valid_promql(tmp_path: Path) -> None:
    rules = [{"record": f"query_{number}", "expr": expr} for number, expr in enumerate(expressions())]
    file = tmp_path / "queries.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "queries", "rules": rules}]}))
    result = subprocess.run(["promtool", "check", "rules", file], capture_output=True, text=True, check=False)

    assert result.returncode == 0, result.stdout + result.stderr


def test_each_column_of_the_scorecards_is_a_quantity_of_theirs() -> None:
    assert {column.name for column in QUANTITIES} <= Scorecard.model_fields.keys()


A = ComparedTrial("5f2a90c1", "5bd0c1a2e3f4", "v2 speed=1", start=1_764_000_000.4, duration_s=90)
B = ComparedTrial("5f2a90c1", "0a1b2c3d4e5f", "v2 speed=5", start=1_764_000_500.0, duration_s=150.5)


def compared(*trials: ComparedTrial) -> Board:
    board: Board = json.loads(board_json(compare_board(trials)))
    return board


def test_compared_trials_share_an_axis_of_elapsed_time() -> None:
    board = compared(A, B)
    chosen = {each["name"]: each["current"] for each in board["templating"]["list"] if each["type"] == "custom"}

    assert board["time"] == {"from": "2000-01-01T00:00:00.000Z", "to": "2000-01-01T00:02:30.500Z"}
    assert (board["timezone"], board.get("refresh", "")) == ("utc", "")
    assert {name: (each["text"], each["value"]) for name, each in chosen.items()} == {
        "base": ("5bd0c1a2e3f4", str(1_764_000_000 - 946_684_800)),
        "other": ("0a1b2c3d4e5f", str(1_764_000_500 - 946_684_800)),
    }


def test_each_query_of_compared_trials_is_moved_by_its_trials_start() -> None:
    text = board_json(compare_board([A, B]))
    moves = {"5bd0c1a2e3f4": "offset -817315200s", "0a1b2c3d4e5f": "offset -817315700s"}

    for _, title, expr in queries_of(text, {}):
        (trial,) = (each for each in moves if each in expr)
        moved = expr.replace("offset -12h", "offset -")  # the window of scorecards is moved too
        assert moved.count(moves[trial]) == expr.count(trial), title
        assert 'sweep_id="5f2a90c1"' in expr


def test_up_to_four_trials_differ_by_dash_and_colour() -> None:
    board = compared(A, B, ComparedTrial("s", "c", "C", A.start, 1), ComparedTrial("s", "d", "D", A.start, 1))
    graphs = {panel["title"]: panel for panel in board["panels"]}

    def values(title: str, name: str) -> list[Any]:
        overrides = graphs[title]["fieldConfig"]["overrides"]
        of_queries = [each for each in overrides if each["matcher"]["id"] == "byFrameRefID"]
        return [json.dumps(item["value"]) for each in of_queries for item in each["properties"] if item["id"] == name]

    assert len(set(values("Pending tasks", "color"))) == 4
    assert len(set(values("Nodes by architecture", "custom.lineStyle"))) == 4


def test_trials_of_equal_settings_are_told_apart_by_their_ids() -> None:
    board = compared(A, ComparedTrial("aaaa", "b", A.label, A.start, 10))
    pending = next(panel for panel in board["panels"] if panel["title"] == "Pending tasks")
    names = [target["legendFormat"] for target in pending["targets"]]

    assert names == ["v2 speed=1 (5f2a90c1/5bd0c1a2e3f4)", "v2 speed=1 (aaaa/b)"]


@pytest.mark.parametrize("trials", [[A], [A, B, A, B, A]], ids=["one", "five"])
def test_fewer_than_two_or_more_than_four_trials_cant_be_compared(trials: list[ComparedTrial]) -> None:
    with pytest.raises(ValueError, match="from 2 to 4 trials"):
        compare_board(trials)


@pytest.mark.parametrize(
    ("change", "problem"),
    [({"trial_id": 'x"} or y'}, "can't be an id"), ({"start": 0.0}, "no start"), ({"duration_s": 0.0}, "no duration")],
)
def test_a_trial_that_would_break_the_queries_is_refused(change: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        ComparedTrial(**{"sweep_id": "s", "trial_id": "t", "label": "l", "start": 1e9, "duration_s": 1.0, **change})


def test_variables_are_filled_in_as_grafana_does() -> None:
    values = {"base": "60", "base:text": "abc", "trial_id": "t"}

    assert fill('x{trial_id="$trial_id"} offset -${base}s', values) == 'x{trial_id="t"} offset -60s'
    assert fill("${base:text} ${trial_id:text} a$", values) == "abc t a$"
    with pytest.raises(KeyError, match="sweep_id"):
        fill("$sweep_id", values)


def test_no_query_keeps_a_variable() -> None:
    assert not [expr for expr in expressions() if "$" in expr]
    assert len(expressions()) > 70


def test_help_loads_no_dashboard() -> None:
    code = (
        "import sys; sys.argv = ['orchestrate', '--help']\n"
        "from orchestrator.cli import main\n"
        "try: main()\n"
        "except SystemExit: print([m for m in sys.modules if m.startswith(('orchestrator.grafana', 'grafana_'))])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert "dashboards" in result.stdout
    assert result.stdout.splitlines()[-1] == "[]"


def test_build_writes_what_check_accepts(tmp_path: Path) -> None:
    built = CliRunner().invoke(app, ["dashboards", "build", "--to", str(tmp_path / "new" / "folder")])
    checked = CliRunner().invoke(app, ["dashboards", "check", "--in", str(tmp_path / "new" / "folder")])

    assert built.exit_code == 0
    assert len(built.stdout.splitlines()) == len(BUILT)
    assert (checked.exit_code, checked.stdout) == (0, "")


def test_check_names_each_file_that_differs(tmp_path: Path) -> None:
    write_all(tmp_path)
    (tmp_path / "trial.json").write_text("{}\n")
    (tmp_path / "nodes.json").write_bytes(b"\xff\xfe")  # no text at all
    (tmp_path / "sweep.json").unlink()
    (tmp_path / "mine.json").write_text("{}\n")
    checked = CliRunner().invoke(app, ["dashboards", "check", "--in", str(tmp_path)])

    assert checked.exit_code == 1
    assert [line.removeprefix(f"{tmp_path}/") for line in checked.stdout.splitlines()] == [
        "mine.json: not built by orchestrate",
        "nodes.json: differs from what the code builds",
        "sweep.json: missing",
        "trial.json: differs from what the code builds",
    ]
