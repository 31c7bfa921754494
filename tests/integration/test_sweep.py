"""The README's `make sweep` on a real local Ray cluster, looked at from every side. It runs once for all tests."""

import json
import re
from collections import Counter
from datetime import datetime
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from playwright.sync_api import Browser

from orchestrator.analysis.trial.node_lives import NodeLives
from orchestrator.analysis.trial.score import score
from orchestrator.model.events import NodeEvent, TaskEvent
from orchestrator.model.prices import Prices
from orchestrator.trace.file import read_trace
from tests.support.browser import opened
from tests.support.bystander import Bystander
from tests.support.grafana_standin import TOKEN
from tests.support.orchestrate_command import ROOT
from tests.support.watched_sweep import NAME, SPEEDS, Swept, Watched

pytestmark = pytest.mark.alone

SCHEMA = ROOT / "docs" / "schema" / "sweep.schema.json"


@pytest.fixture(scope="module")
def swept(watched: Watched) -> Swept:
    """The sweep, which is over."""
    assert "\nmake sweep " in (ROOT / "README.md").read_text()
    assert watched.swept.exit_code == 0, watched.swept.output
    return watched.swept


@pytest.fixture(scope="module")
def document(swept: Swept) -> Any:
    """`show @last --json`."""
    return swept.document


def test_the_table_has_a_valid_row_for_each_setting(swept: Swept) -> None:
    rows = [line for line in swept.output.splitlines() if line.startswith("speed=") and " valid" in line]

    assert len(rows) == len(SPEEDS), swept.output


def test_show_writes_json_that_matches_the_documented_schema(document: Any) -> None:
    jsonschema.validate(document, json.loads(SCHEMA.read_text()))

    assert [trial["settings"]["upscaling_speed"] for trial in document["trials"]] == list(SPEEDS)
    assert all(trial["status"] == "done" and trial["scorecard"]["valid"] for trial in document["trials"])
    assert document["name"] == NAME


def test_a_trace_gives_the_same_scorecard_again(document: Any) -> None:
    prices = Prices.model_validate(document["environment"]["prices"])
    for trial in document["trials"]:
        trace = read_trace(Path(trial["trace"]))

        assert trace.trial is not None
        assert trial["trial_id"] == trace.trial.trial_id
        assert trial["scorecard"] == score(trace.trial, trace.events, prices).model_dump(mode="json")


def test_every_task_is_recorded_with_its_node_and_architecture(document: Any) -> None:
    for trial in document["trials"]:
        trace = read_trace(Path(trial["trace"]))
        tasks = [event for event in trace.events if isinstance(event, TaskEvent)]
        assert trace.trial is not None
        work = trace.trial.workload

        assert sum(task.count for task in tasks) == work.tasks
        assert {task.arch for task in tasks} == {"x86_64", "arm64"}
        assert all(task.submitted <= task.started <= task.ended and task.ok for task in tasks)
        assert all(work.seconds - 0.1 <= task.ended - task.started <= work.seconds + 2 for task in tasks)


def test_the_autoscaler_itself_had_each_setting_in_force(swept: Swept) -> None:
    """The provider, inside Ray's monitor, wrote down what the live autoscaler object holds."""
    [noted] = swept.command.home.glob("sweeps/*/ray/*/settings.jsonl")
    entries = [json.loads(line) for line in noted.read_text().splitlines()]
    speeds = [entry["settings"]["upscaling_speed"] for entry in entries]

    assert list(SPEEDS) == speeds


def launches_by_update(monitor_log: str) -> list[tuple[float, Counter[str]]]:
    """From the monitor's own log: what each update of the autoscaler launched, by node type, with its UNIX time."""
    updates: list[tuple[float, Counter[str]]] = []
    for line in monitor_log.splitlines():
        found = re.match(r"(\S+ \S+)\t.*Launching (\d+) nodes of type (\w+)", line)
        if found:
            t = datetime.strptime(found[1], "%Y-%m-%d %H:%M:%S,%f").timestamp()
            if not updates or t - updates[-1][0] > 2:
                updates.append((t, Counter()))
            updates[-1][1][found[3]] += int(found[2])
    return updates


def test_the_first_update_launches_as_many_nodes_as_rays_rule_says(swept: Swept, document: Any) -> None:
    """v2 requests max(1, ceil(speed x max(running, 1))) of a type at an update; one of each runs, three are allowed."""
    [log] = swept.command.home.glob("sweeps/*/ray/*/monitor.log")
    updates = launches_by_update(log.read_text())

    for trial, expected in zip(document["trials"], (1, 2, 2), strict=True):
        events = read_trace(Path(trial["trace"])).events
        submitted = min(event.submitted for event in events if isinstance(event, TaskEvent))
        first = next(launched for t, launched in updates if t > submitted)

        assert first == {"x86_worker_node": expected, "arm_worker_node": expected}


def test_each_trial_begins_and_ends_at_the_baseline(document: Any) -> None:
    second = read_trace(Path(document["trials"][1]["trace"]))
    baseline = [e for e in second.events if isinstance(e, NodeEvent) and e.cause == "baseline" and not e.is_head]

    assert Counter(event.node_type for event in baseline) == {"x86_worker_node": 1, "arm_worker_node": 1}
    assert all(trial["scorecard"]["scale_down_s"] is not None for trial in document["trials"])


def test_the_stages_of_a_launch_are_seen_in_order(document: Any) -> None:
    for trial in document["trials"]:
        stages = trial["scorecard"]["launch_s"]["all"]

        assert set(stages) == {"request", "boot", "install", "launch"}
        assert 0.4 < stages["request"]["p50"] < 2
        assert 1 < stages["boot"]["p50"] < 15


def test_the_simulator_foretells_each_trial(swept: Swept) -> None:
    """The same launches, and makespan and time to peak within 15 %; one trial may decide one update late.

    Ray's GCS asks nodes for waiting tasks once a second. On a busy machine, an update can just miss the demand.
    """
    found = swept.command.json("validate", "@last")
    on_time = [trial["trial_id"] for trial in found if {*trial["launches"]["updates_late"]} == {0}]

    assert len(found) == len(SPEEDS)
    assert len(on_time) >= len(SPEEDS) - 1, found
    for trial in found:
        makespan, interval = trial["quantities"]["makespan_s"], trial["settings"]["update_interval_s"]
        assert {-1, 0, 1} >= {*trial["launches"]["updates_late"]}, trial
        assert abs(makespan["error"]) <= 0.15 * makespan["recorded"] + interval, trial
    result = swept.command("validate", *on_time, "--within", "15")
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stdout.count("and its replay") == len(on_time)


def test_the_report_opens_in_a_browser_without_a_fault(swept: Swept, browser: Browser) -> None:
    """Of a real sweep: with host load, real task times, notes, whatever the cluster did."""
    path = swept.command.home / "report.html"
    assert swept.command("report", "@last", "--to", str(path)).returncode == 0
    page = opened(browser, path)

    assert page.said == page.asked == []
    assert page.count(".plot[data-drawn]") == page.count(".plot") == 3 * len(SPEEDS) + 2
    assert NAME in page.page.inner_text("h1")


def test_trials_and_their_scaling_events_stand_in_grafana(watched: Watched, document: Any) -> None:
    """As many launches as in the trace, of which some share an annotation."""
    annotations = watched.grafana.annotations.values()
    regions = [each for each in annotations if "event:trial" in each["tags"]]

    assert len(regions) == len(SPEEDS)
    for trial, region in zip(document["trials"], regions, strict=True):
        tag = f"trial:{trial['trial_id']}"
        events = read_trace(Path(trial["trace"])).events
        moments = [each for each in annotations if {tag, "event:requested"} <= set(each["tags"])]
        counts = [re.match(r"(\d+) × ", moment["text"]) for moment in moments]
        changes = [change for change in map(NodeLives().add, events) if change is not None and change.is_scaling]

        assert tag in region["tags"]
        assert f"makespan {trial['scorecard']['makespan_s']:.0f} s" in region["text"]
        assert region["time"] == round(min(event.t for event in events) * 1000)
        assert region["timeEnd"] == round(max(event.t for event in events) * 1000)
        requested = sum(change.event.state == "requested" for change in changes)
        assert sum(int(count[1]) if count else 1 for count in counts) == requested > 0


def test_nothing_is_left_and_the_bystander_was_not_touched(swept: Swept, bystander: Bystander) -> None:
    assert swept.command.leftovers() == []
    assert not list((swept.command.home / "clusters").iterdir())
    assert bystander.answers()


def test_the_token_appears_nowhere(swept: Swept) -> None:
    home, said = swept.command.home, swept.output
    token = (home / "ray_token").read_text()
    holders = [
        path.name
        for path in home.rglob("*")
        if path.is_file()
        and path.name != "ray_token"
        and any(secret.encode() in path.read_bytes() for secret in (token, TOKEN))
    ]

    assert holders == []
    assert token not in said
    assert TOKEN not in said
    assert (home / "ray_token").stat().st_mode & 0o077 == 0
