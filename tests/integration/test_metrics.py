"""The metrics of real trials, scraped 50 times a second: those of their traces, and the trials are none the worse."""

import urllib.error
from collections import Counter
from typing import Any

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics

from orchestrator.analysis.trial.score import score
from orchestrator.metrics.server import DEFAULT_PORT
from orchestrator.model.events import NodeEvent, PhaseEvent, TaskEvent
from orchestrator.model.prices import Prices
from orchestrator.observer.observer import DEFAULT_INTERVAL_S
from tests.support.prometheus_server import HOW
from tests.support.requirements import require
from tests.support.watched_sweep import SCRAPES_PER_S, SPEEDS, Watched, get, samples

pytestmark = pytest.mark.alone

# Nodes start one after another, and tasks of 8 s run in waves: a node that comes a moment later may move the last of
# them by a whole task.
AS_LONG_S = 10.0
# A look takes some milliseconds, of the 500 between two looks.
SLOWER_LOOK_S = 0.05
ARCHES = {"x86_worker_node": "x86_64", "arm_worker_node": "arm64"}


def trial(watched: Watched) -> Any:
    """The document of the last trial, which was scraped so often."""
    return watched.swept.document["trials"][-1]


def node_events(watched: Watched) -> list[NodeEvent]:
    """The scaling events of its trace."""
    return [
        event
        for event in watched.swept.traces[-1].events
        if isinstance(event, NodeEvent) and not event.is_head and event.cause != "baseline"
    ]


def looks(text: str) -> tuple[float, float]:
    """How often the observer had looked at the cluster, and how many seconds that took."""
    found = samples(text)
    return found["observer_poll_seconds_count"][0][1], found["observer_poll_seconds_sum"][0][1]


def of_trial(watched: Watched, name: str) -> list[tuple[dict[str, str], float]]:
    """The last that was said of a metric of the trial."""
    return samples(watched.hammer.of_a_trial)[name]


def test_the_running_trial_is_shown_with_its_nodes_by_architecture(watched: Watched) -> None:
    during = samples(watched.seen.metrics)
    nodes: Counter[tuple[str, str]] = Counter()
    for labels, count in during["nodes"]:
        nodes[labels["node_type"], labels["arch"]] += int(count)
    ((info, one),) = during["trial_info"]

    assert nodes.keys() == set(ARCHES.items())
    assert min(nodes.values()) >= 1
    assert one == 1
    assert (info["sweep_id"], info["trial_id"]) == (watched.swept.document["sweep_id"], trial(watched)["trial_id"])
    assert float(info["upscaling_speed"]) == SPEEDS[-1]
    assert watched.seen.healthy == "the cluster is being polled\n"


def test_the_same_is_served_as_openmetrics(watched: Watched) -> None:
    names = {family.name for family in parse_openmetrics(watched.seen.openmetrics)}  # type: ignore[no-untyped-call]

    assert {"orchestrator_trial_info", "orchestrator_nodes", "orchestrator_observer_poll_seconds"} <= names


def test_targets_of_both_types_and_of_the_head_answer_with_rays_metrics(watched: Watched) -> None:
    nodes = [group for group in watched.seen.targets if group["labels"]["ray_port"] == "node"]
    workers = {(group["labels"]["node_type"], group["labels"]["arch"]) for group in nodes} - {("head_node", "x86_64")}
    heads_ports = {
        group["labels"]["ray_port"] for group in watched.seen.targets if group["labels"]["node_type"] == "head_node"
    }

    assert workers == set(ARCHES.items())
    assert heads_ports == {"node", "autoscaler", "dashboard"}
    for group in watched.seen.targets:
        (address,) = group["targets"]
        assert address in watched.seen.of_targets, f"{group} didn't answer"
        assert group["labels"]["trial_id"] == trial(watched)["trial_id"]
        if group in nodes:
            assert "ray_node_" in watched.seen.of_targets[address], group


def test_every_scrape_was_answered_until_the_sweep_ended(watched: Watched) -> None:
    times = watched.hammer.times
    at_the_end = times[-1] - 0.1

    assert len(times) > 0.9 * SCRAPES_PER_S * (times[-1] - times[0])
    assert [failure for failure in watched.hammer.failures if failure[0] < at_the_end] == []


def test_a_trials_numbers_are_those_of_its_twin_that_nobody_hammered(watched: Watched) -> None:
    alone, hammered = (each["scorecard"] for each in watched.swept.document["trials"][-2:])

    assert [card["valid"] for card in (alone, hammered)] == [True, True]
    for count in ("launches", "peak_nodes", "failed_launches", "node_failures", "tasks"):
        assert hammered[count] == alone[count], count
    for time_s in ("makespan_s", "time_to_first_node_s", "time_to_peak_s"):
        assert abs(hammered[time_s] - alone[time_s]) < AS_LONG_S, (time_s, hammered[time_s], alone[time_s])


def test_the_observer_looked_as_often_and_as_fast_while_it_was_hammered(watched: Watched) -> None:
    hammer, events = watched.hammer, watched.swept.traces[-1].events
    (alone, alone_s), (both, both_s) = map(looks, (hammer.first, hammer.texts[trial(watched)["trial_id"]]))
    hammered_s = events[-1].t - events[0].t

    assert (both - alone) / hammered_s > 0.9 / DEFAULT_INTERVAL_S
    assert (both_s - alone_s) / (both - alone) < alone_s / alone + SLOWER_LOOK_S


def test_a_hammered_trials_scorecard_is_that_of_its_trace(watched: Watched) -> None:
    prices = Prices.model_validate(watched.swept.document["environment"]["prices"])
    trace, card = watched.swept.traces[-1], trial(watched)["scorecard"]
    submitted = next(e.t for e in trace.events if isinstance(e, PhaseEvent) and e.phase == "running")
    launched = {each.node for each in node_events(watched) if each.state == "requested" and each.t >= submitted}

    assert watched.swept.exit_code == 0, watched.swept.output
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
    tasks = Counter(event.arch for event in watched.swept.traces[-1].events if isinstance(event, TaskEvent))
    waits = {labels["arch"]: value for labels, value in of_trial(watched, "task_wait_seconds_count")}
    stages = {
        (labels["arch"], labels["stage"]): value for labels, value in of_trial(watched, "node_stage_seconds_count")
    }
    launched = Counter(event.arch for event in node_events(watched) if event.previous == "installing")

    assert waits == tasks
    assert sum(waits.values()) == trial(watched)["scorecard"]["tasks"] > 0
    assert {arch: stages[arch, "launch"] for arch in launched} == launched


def test_the_cost_never_fell(watched: Watched) -> None:
    for client in watched.hammer.clients:
        spent = client.spent[trial(watched)["trial_id"]]

        assert spent == sorted(spent)
        assert spent[-1] > 0


def test_a_prometheus_saw_that_each_trial_ended(watched: Watched) -> None:
    """Else its last scrape would say of the last trial that its exporter vanished."""
    require("prometheus", watched.prometheus is not None, f"{HOW}, and end what listens on port {DEFAULT_PORT}")
    assert watched.prometheus is not None
    last = watched.prometheus.at("last_over_time(orchestrator_trial_active[1h])", watched.swept.end)

    assert {each["metric"]["trial_id"]: each["value"][1] for each in last} == {
        each["trial_id"]: "0" for each in watched.swept.document["trials"]
    }


def test_after_the_end_nobody_listens(watched: Watched) -> None:
    with pytest.raises(urllib.error.URLError, match="Connection refused"):
        get(f"{watched.hammer.url}/metrics")
