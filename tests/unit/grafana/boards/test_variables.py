"""What the boards' variables take from an answer, and that they don't keep what no longer fits."""

import json
import re
from typing import Any

import pytest

from orchestrator.grafana.boards.build import build_all

BOARDS: dict[str, dict[str, Any]] = {name: json.loads(text) for name, text in build_all().items()}


def variables(board: str) -> dict[str, dict[str, Any]]:
    return {each["name"]: each for each in BOARDS[board]["templating"]["list"]}


def option(variable: dict[str, Any], sample: str) -> tuple[str, str]:
    """Text and value that Grafana takes from a line of `query_result`."""
    found = re.search(variable["regex"].strip("/").replace("(?<", "(?P<"), sample)
    assert found is not None, sample
    named = found.groupdict()
    return (named["text"], named["value"]) if named else (found[1], found[1])


@pytest.mark.parametrize("board", ["trial.json", "nodes.json", "health.json"])
def test_a_trial_is_called_by_its_setting_and_the_newest_is_the_first(board: str) -> None:
    trial = variables(board)["trial_id"]
    sample = '{called="v2 speed=1 #2",trial_id="5bd0c1a2e3f4"} 1764000000.5 1764000300000'

    assert option(trial, sample) == ("v2 speed=1 #2", "5bd0c1a2e3f4")
    assert trial["query"]["query"].startswith("query_result(sort_desc(")
    assert trial["sort"] == 0


@pytest.mark.parametrize("board", ["trial.json", "nodes.json", "sweep.json"])
def test_a_board_of_one_thing_begins_with_the_first_option(board: str) -> None:
    chosen = variables(board)
    sweep = chosen["sweep_id"]

    sample = '{called="nightly · 11-24 16:40",sweep_id="5f2a90c1"} 11764000000 1764000300000'
    assert option(sweep, sample) == ("nightly · 11-24 16:40", "5f2a90c1")
    assert sweep["query"]["query"].startswith("query_result(sort_desc(")
    assert not any("current" in chosen[name] for name in ("sweep_id", "trial_id") if name in chosen)


def test_a_compared_trial_is_worth_the_matchers_of_its_series() -> None:
    chosen = variables("compare.json")
    sample = '{called="v2 speed=1 #1 in 5f2a90c1",sweep_id="5f2a90c1",trial_id="5bd0"} 1764000000 946685400000'
    matchers = 'sweep_id="5f2a90c1",trial_id="5bd0"'

    assert option(chosen["base"], sample) == ("v2 speed=1 #1 in 5f2a90c1", matchers)
    assert option(chosen["base_start"], "{} 817315200 946685400000") == ("817315200", "817315200")


@pytest.mark.parametrize(
    ("board", "name"),
    [
        ("trial.json", "trial_from"),
        ("nodes.json", "trial_to"),
        ("sweep.json", "sweep_to"),
        ("compare.json", "longest_to"),
    ],
)
def test_a_time_for_a_link_is_milliseconds_and_in_no_address(board: str, name: str) -> None:
    variable = variables(board)[name]

    assert option(variable, "{} 1764000000000 1764000300000") == ("1764000000000", "1764000000000")
    assert (variable["hide"], variable["skipUrlSync"]) == (2, True)


def test_what_follows_from_a_compared_trial_is_hidden_and_in_no_address() -> None:
    chosen = variables("compare.json")

    for name in ("base", "other", "third", "fourth"):
        start = chosen[f"{name}_start"]
        assert (start["hide"], start["skipUrlSync"]) == (2, True)
        assert f"${{{name}:raw}}" in start["query"]["query"]
        assert not chosen[name]["skipUrlSync"]


def test_no_query_variable_keeps_a_value_that_is_no_option_any_more() -> None:
    kept = [
        (board, name)
        for board in BOARDS
        for name, variable in variables(board).items()
        if variable["type"] == "query" and variable["allowCustomValue"]
    ]

    assert kept == []
