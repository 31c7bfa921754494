"""The v1 autoscaler with the legacy `target_utilization_fraction` that only it reads, beside speeds under both."""

import json

import pytest

from tests.integration.watched import Watched

pytestmark = pytest.mark.alone


def test_v1_turns_a_fraction_into_a_speed_and_the_table_says_so(watched: Watched) -> None:
    by_speed, by_fraction, v2 = watched.document["trials"]
    noted = watched.command.home.glob("sweeps/*/ray/*/settings.jsonl")
    entries = [[json.loads(line)["settings"] for line in path.read_text().splitlines()] for path in noted]
    in_force = [[(each["autoscaler"], each["upscaling_speed"]) for each in of_cluster] for of_cluster in entries]

    assert watched.exit_code == 0, watched.output
    assert "effective speed 3" in watched.output
    assert sorted(in_force) == [[("v1", 5.0), ("v1", 3.0)], [("v2", 5.0)]]
    assert [trial["settings"]["autoscaler"] for trial in (by_speed, by_fraction, v2)] == ["v1", "v1", "v2"]
    assert by_fraction["settings"]["target_utilization_fraction"] == 0.25
    for trial in (by_speed, by_fraction, v2):
        assert trial["scorecard"]["valid"], trial["scorecard"]["invalid_because"]
        assert trial["scorecard"]["launches"] >= 2
        assert trial["scorecard"]["scale_down_s"] is not None


def test_the_sweep_of_both_autoscalers_left_nothing(watched: Watched) -> None:
    assert watched.command.leftovers() == []
