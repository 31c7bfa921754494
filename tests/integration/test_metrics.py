"""The metrics of a real trial, scraped 50 times a second: those of its trace, and the trial is none the worse."""

import urllib.error
from collections import Counter
from typing import Any

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics

from orchestrator.analysis.score import score
from orchestrator.model.events import NodeEvent, PhaseEvent, TaskEvent
from orchestrator.model.prices import Prices
from tests.integration.watched import SCRAPES_PER_S, TASKS, Watched, get, samples

pytestmark = pytest.mark.alone

ARCHES = {"x86_worker_node": "x86_64", "arm_worker_node": "arm64"}


def trial(watched: Watched) -> Any:
    """The document of the trial that was scraped so often, the last one."""
    return watched.document["trials"][-1]


def node_events(watched: Watched) -> list[NodeEvent]:
    """The scaling events of its trace."""
    return [
        event
        for event in watched.traces[-1].events
        if isinstance(event, NodeEvent) and not event.is_head and event.cause != "baseline"
    ]


def of_trial(watched: Watched, name: str) -> list[tuple[dict[str, str], float]]:
    """The last that was said of a metric of the trial."""
    return samples(watched.hammer.of_a_trial)[name]


def test_the_running_trial_is_shown_with_its_nodes_by_architecture(watched: Watched) -> None:
    during = samples(watched.during)
    nodes: Counter[tuple[str, str]] = Counter()
    for labels, count in during["nodes"]:
        nodes[labels["node_type"], labels["arch"]] += int(count)
    ((info, one),) = during["trial_info"]

    assert nodes.keys() == set(ARCHES.items())
    assert min(nodes.values()) >= 1
    assert one == 1
    assert (info["sweep_id"], info["trial_id"]) == (watched.document["sweep_id"], trial(watched)["trial_id"])
    assert info["setting"] == "v2 speed=5 idle=0.2"
    assert watched.healthy == "the cluster is looked at\n"


def test_the_same_is_served_as_openmetrics(watched: Watched) -> None:
    names = {family.name for family in parse_openmetrics(watched.during_openmetrics)}  # type: ignore[no-untyped-call]

    assert {"orchestrator_trial_info", "orchestrator_nodes", "orchestrator_observer_poll_seconds"} <= names


def test_targets_of_both_types_and_of_the_head_answer_with_rays_metrics(watched: Watched) -> None:
    nodes = [group for group in watched.targets if group["labels"]["ray_port"] == "node"]
    workers = {(group["labels"]["node_type"], group["labels"]["arch"]) for group in nodes} - {("head_node", "x86_64")}
    heads_ports = {
        group["labels"]["ray_port"] for group in watched.targets if group["labels"]["node_type"] == "head_node"
    }

    assert workers == set(ARCHES.items())
    assert heads_ports == {"node", "autoscaler", "dashboard"}
    for group in watched.targets:
        (address,) = group["targets"]
        assert address in watched.of_targets, f"{group} didn't answer"
        assert group["labels"]["trial_id"] == trial(watched)["trial_id"]
        if group in nodes:
            assert "ray_node_" in watched.of_targets[address], group


def test_every_scrape_was_answered_until_the_sweep_ended(watched: Watched) -> None:
    times = watched.hammer.times

    assert len(times) > SCRAPES_PER_S / 2 * (times[-1] - times[0])
    assert [failure for failure in watched.hammer.failures if failure[0] < times[-1]] == []


def test_the_trial_was_none_the_worse_for_it(watched: Watched) -> None:
    prices = Prices.model_validate(watched.document["environment"]["prices"])
    trace, card = watched.traces[-1], trial(watched)["scorecard"]
    submitted = next(e.t for e in trace.events if isinstance(e, PhaseEvent) and e.phase == "running")
    launched = {each.node for each in node_events(watched) if each.state == "requested" and each.t >= submitted}

    assert watched.exit_code == 0, watched.output
    assert card["valid"], card["invalid_because"]
    assert trace.trial is not None
    assert card == score(trace.trial, trace.events, prices).model_dump(mode="json")
    assert card["launches"] == len(launched) == 4


def test_the_counters_are_those_of_the_trace(watched: Watched) -> None:
    counted = {
        (labels["node_type"], labels["arch"], labels["event"], labels["cause"]): int(value)
        for labels, value in of_trial(watched, "scaling_events_total")
    }

    assert counted == Counter((each.node_type, each.arch, each.state, each.cause) for each in node_events(watched))


def test_the_histograms_are_those_of_the_trace(watched: Watched) -> None:
    tasks = Counter(event.arch for event in watched.traces[-1].events if isinstance(event, TaskEvent))
    waits = {labels["arch"]: value for labels, value in of_trial(watched, "task_wait_seconds_count")}
    stages = {
        (labels["arch"], labels["stage"]): value for labels, value in of_trial(watched, "node_stage_seconds_count")
    }
    launched = Counter(event.arch for event in node_events(watched) if event.previous == "installing")

    assert waits == tasks
    assert sum(waits.values()) == TASKS
    assert {arch: stages[arch, "launch"] for arch in launched} == launched


def test_the_cost_never_fell(watched: Watched) -> None:
    spent = watched.hammer.spent[trial(watched)["trial_id"]]

    assert spent == sorted(spent)
    assert spent[-1] > 0


def test_after_the_end_nobody_listens(watched: Watched) -> None:
    with pytest.raises(urllib.error.URLError, match="Connection refused"):
        get(f"{watched.hammer.url}/metrics")
