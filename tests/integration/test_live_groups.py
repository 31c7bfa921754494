"""A workload of groups on a real local cluster: Ray's own tasks, actors, placement groups, and request_resources."""

from collections import defaultdict
from typing import Any

import pytest
import yaml

from tests.support.orchestrate_command import Orchestrate

pytestmark = pytest.mark.alone

SPEC = {
    "backend": "local",
    "settings": {"upscaling_speed": 10, "idle_timeout_minutes": 0.1},
    "workload": {
        "groups": [
            {"name": "load", "tasks": 4, "seconds": 3},
            {"name": "half", "tasks": 2, "cpus": 0.5, "seconds": 2, "after": "load"},
            {"name": "serve", "actors": 1, "cpus": 0, "resources": {"Graviton": 0.1}, "seconds": 8, "at_s": 1},
            {
                "name": "gang", "placement_groups": 1, "bundles": [{"CPU": 1}, {"CPU": 1}],
                "strategy": "STRICT_SPREAD", "seconds": 3, "after": "half",
            },
        ],
        "requests": [{"at_s": 2, "bundles": [{"CPU": 1}] * 3}, {"at_s": 15}],
    },
}  # fmt: skip


@pytest.fixture(scope="module")
def events(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    folder = tmp_path_factory.mktemp("groups")
    (folder / "spec.yaml").write_text(yaml.safe_dump(SPEC))
    command = Orchestrate(folder / "home")
    done = command("sweep", "--spec", str(folder / "spec.yaml"))
    assert command.trace(), done.stderr
    return command.trace()


def test_each_group_runs_as_it_says(events: list[dict[str, Any]]) -> None:
    groups: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for event in events:
        if event["type"] == "task":
            groups[event["group"]].append(event)

    assert {name: len(own) for name, own in groups.items()} == {"load": 4, "half": 2, "serve": 1, "gang": 2}
    assert all(event["ok"] for own in groups.values() for event in own)
    assert min(each["submitted"] for each in groups["half"]) >= max(each["ended"] for each in groups["load"])
    assert min(each["submitted"] for each in groups["gang"]) >= max(each["ended"] for each in groups["half"])
    assert groups["serve"][0]["node_type"] == "arm_worker_node"
    assert len({each["node"] for each in groups["gang"]}) == 2


def test_the_trial_ends_at_its_baseline_although_resources_were_requested(events: list[dict[str, Any]]) -> None:
    assert [event["phase"] for event in events if event["type"] == "phase"][-1] == "done"
    assert sum(event["type"] == "node" and event["state"] == "requested" for event in events) >= 1
