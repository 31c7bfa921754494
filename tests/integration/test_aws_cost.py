"""The limit of costs on the stand-in for EC2: a sweep stops before a trial that could cross it, and leaves nothing."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.ec2.cloud import Cloud, cloud, machine
from tests.support.ec2.sweeps import assert_nothing_is_left, cluster_file, lab, sweep
from tests.support.orchestrate_command import Orchestrate

__all__ = ["cloud", "machine"]
pytestmark = pytest.mark.alone

# In dollars: a trial of less than half a minute costs more, and the end of a cluster less.
MARGIN = 0.03


@pytest.fixture
def orchestrate(cloud: Cloud, tmp_path: Path) -> Iterator[Orchestrate]:
    with lab(cloud, tmp_path / "home") as command:
        yield command


def test_a_sweep_stops_before_the_trial_that_could_cross_its_limit(
    cloud: Cloud, orchestrate: Orchestrate, tmp_path: Path
) -> None:
    arguments = sweep(cluster_file(tmp_path), "--upscaling-speed", "1,10", "--isolation", "fresh")
    planned = orchestrate(*arguments, "--dry-run", "--json", "-")
    cost = json.loads(planned.stdout)["cost"]
    first = next(iter(cost["trials"].values()))["usd"]
    done = orchestrate(*arguments, "--max-cost", f"{first + MARGIN:.4f}")
    said = done.stdout + done.stderr
    document = orchestrate.json("show", "@last")

    assert done.returncode == 1, said
    assert [trial["status"] for trial in document["trials"]] == ["done", "planned"], said
    assert "the next trial is expected to cost $" in said
    assert "this sweep cost $" in said
    bill = document["environment"]["bill"]
    assert (bill["machines"], bill["running"], bill["unpriced"]) == (5, 0, [])
    assert bill["head_usd"] > 0
    assert bill["extras_usd"] > 0
    # All workers from their launch until their end, while the scorecard counts those of the trial alone.
    assert bill["workers_usd"] > document["trials"][0]["scorecard"]["cost_usd"]["total"] * 0.8
    assert_nothing_is_left(cloud, orchestrate.home)
