"""The board of compared trials: one axis of elapsed time, and the address that names the trials."""

import json
import re
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from orchestrator.grafana.boards.build import build_all
from orchestrator.grafana.boards.compare import VARIABLES, ComparedTrial, address
from tests.support.board_queries import queries_of

TEXT = build_all()["compare.json"]
BOARD: dict[str, Any] = json.loads(TEXT)

A = ComparedTrial("5f2a90c1", "5bd0c1a2e3f4", duration_s=90)
B = ComparedTrial("81c0d4e2", "5bd0c1a2e3f4", duration_s=150.5)


def test_the_axis_begins_with_the_year_2000_and_stands_still() -> None:
    assert BOARD["time"] == {"from": "2000-01-01T00:00:00.000Z", "to": "2000-01-01T00:15:00.000Z"}
    assert (BOARD["timezone"], BOARD.get("refresh", "")) == ("utc", "")


def test_each_query_is_of_one_trial_and_moved_by_its_start() -> None:
    values = {"sweep_id": "s"}
    for number, name in enumerate(VARIABLES, start=1):
        values |= {name: f'trial_id="t{number}"', f"{name}_start": f"81731520{number}", f"{name}:text": f"T{number}"}
    trials = set()
    for _, title, expr in queries_of(TEXT, values):
        (number,) = {number for number in range(1, 5) if f't{number}"' in expr}
        moved = expr.replace("offset -12h", "offset -")  # the window of scorecards is moved too
        trials.add(number)

        assert moved.count(f"offset -81731520{number}s") == expr.count("trial_id=") > 0, title
    assert trials == {1, 2, 3, 4}


def test_up_to_four_trials_differ_by_colour_and_a_row_of_the_table_has_its_trials_colour() -> None:
    panels = {panel["title"]: panel for panel in BOARD["panels"]}
    lines = panels["Pending tasks"]["fieldConfig"]["overrides"]
    drawn = [item["value"]["fixedColor"] for each in lines for item in each["properties"] if item["id"] == "color"]
    columns = {
        each["matcher"]["options"]: each["properties"] for each in panels["Scorecards"]["fieldConfig"]["overrides"]
    }
    (mapping,) = next(item["value"] for item in columns["No."] if item["id"] == "mappings")

    assert len(set(drawn)) == 4
    assert [each["color"] for each in mapping["options"].values()] == drawn
    assert [re.findall(r'"compared", "(\d)"', each["expr"]) for each in panels["Scorecards"]["targets"]] == [
        [str(number)] for number in range(1, 5) for _ in range(3)
    ]


def test_the_board_says_how_it_is_filled() -> None:
    table = next(panel for panel in BOARD["panels"] if (panel["title"], panel["type"]) == ("Scorecards", "table"))

    assert "orchestrate dashboards compare TRIAL TRIAL" in BOARD["description"]
    assert "orchestrate dashboards compare TRIAL TRIAL" in table["description"]


def test_an_address_chooses_the_trials_and_shows_the_longest() -> None:
    parts = urlsplit(address("https://grafana.example.com/team", [A, B]))

    assert (parts.netloc, parts.path) == ("grafana.example.com", "/team/d/orchestrate-compare")
    assert parse_qs(parts.query) == {
        "var-sweep_id": ["5f2a90c1", "81c0d4e2"],
        "var-base": ['sweep_id="5f2a90c1",trial_id="5bd0c1a2e3f4"'],
        "var-other": ['sweep_id="81c0d4e2",trial_id="5bd0c1a2e3f4"'],
        "from": ["946684800000"],
        "to": ["946684980500"],
    }


@pytest.mark.parametrize(
    ("trials", "problem"),
    [([A], "you can compare 2 to 4 trials"), ([A, B, A, B, A], "you can compare 2 to 4 trials"), ([A, B, A], "twice")],
    ids=["one", "five", "the same again"],
)
def test_two_to_four_different_trials_can_be_compared(trials: list[ComparedTrial], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        address("http://127.0.0.1:3000", trials)


def test_an_id_that_would_break_the_queries_is_refused() -> None:
    with pytest.raises(ValueError, match="can't be an id"):
        ComparedTrial("s", 'x"} or y', 1.0)
