"""The v1 autoscaler on a fresh cluster, with the legacy `target_utilization_fraction` that only it reads."""

import json

from tests.integration.conftest import Orchestrate


def test_v1_turns_a_fraction_into_a_speed_and_the_table_says_so(orchestrate: Orchestrate) -> None:
    result = orchestrate(
        *("sweep", "--autoscaler", "v1", "--target-utilization-fraction", "0.25", "--isolation", "fresh"),
        *("--idle-timeout-minutes", "0.1", "--tasks", "20", "--task-seconds", "6"),
    )

    assert result.returncode == 0, result.stdout + result.stderr
    assert "effective speed 3" in result.stdout
    [trial] = orchestrate.json("show", "@last")["trials"]
    assert trial["scorecard"]["valid"], trial["scorecard"]["invalid_because"]
    assert trial["scorecard"]["launches"] >= 2
    assert trial["scorecard"]["scale_down_s"] is not None
    [journal] = orchestrate.home.glob("sweeps/*/ray/*/journal.jsonl")
    entries = [json.loads(line) for line in journal.read_text().splitlines()]
    in_force = [entry["settings"] for entry in entries if entry["event"] == "settings"]
    assert [(each["autoscaler"], each["upscaling_speed"]) for each in in_force] == [("v1", 3.0)]
    assert orchestrate.leftovers() == []
