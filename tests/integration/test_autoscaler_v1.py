"""The v1 autoscaler with the legacy `target_utilization_fraction` that only it reads, in one sweep with v2."""

import json

import pytest

from tests.support.watched_sweep import Swept

pytestmark = pytest.mark.alone


def test_v1_turns_a_fraction_into_a_speed_and_the_output_says_so(both_autoscalers: Swept) -> None:
    noted = both_autoscalers.command.home.glob("sweeps/*/ray/*/settings.jsonl")
    entries = [[json.loads(line)["settings"] for line in path.read_text().splitlines()] for path in noted]
    in_force = [[(each["autoscaler"], each["upscaling_speed"]) for each in of_cluster] for of_cluster in entries]

    assert both_autoscalers.exit_code == 0, both_autoscalers.output
    assert "effective speed 3" in both_autoscalers.output
    assert sorted(in_force) == [[("v1", 3.0)], [("v2", 1.0)]]


def test_trials_of_both_are_valid(both_autoscalers: Swept) -> None:
    v1, v2 = both_autoscalers.document["trials"]

    assert [trial["settings"]["autoscaler"] for trial in (v1, v2)] == ["v1", "v2"]
    assert v1["settings"]["target_utilization_fraction"] == 0.25
    for trial in (v1, v2):
        assert trial["scorecard"]["valid"], trial["scorecard"]["invalid_because"]
        assert trial["scorecard"]["launches"] >= 2
        assert trial["scorecard"]["scale_down_s"] is not None


def test_the_sweep_of_both_autoscalers_left_nothing(both_autoscalers: Swept) -> None:
    assert both_autoscalers.command.leftovers() == []
