"""The metrics are a function of the running trial's events: each is counted by hand here."""

import math
import re
import sys
import threading
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import parser
from prometheus_client.core import Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.registry import CollectorRegistry

from orchestrator.analysis.cost import bills
from orchestrator.analysis.lifecycle import node_lives
from orchestrator.model.events import Event, NodeEvent, NodeState, UsageEvent
from orchestrator.model.prices import Prices
from orchestrator.model.scorecard import ByPart
from orchestrator.model.snapshot import Snapshot
from orchestrator.observer.lifecycle import NodeTraits
from orchestrator.observer.metrics import LINGER_S, LONGEST_LINGER_S, MAX_NODE_SERIES, STATES, Exporter, numbers
from orchestrator.observer.observer import Observer
from tests.builders import (
    T0,
    baseline,
    demand,
    fault,
    host,
    life,
    node,
    note,
    phase,
    scorecard,
    settings_in_force,
    task,
    trial,
)
from tests.strategies import events

DOCUMENT = Path(__file__).parents[3] / "docs" / "metrics.md"
OPENMETRICS = "application/openmetrics-text; version=1.0.0"
PRICES = Prices(usd_per_hour={"m7i.large": 0.36, "m8g.xlarge": 0.72})
INSTANCE_TYPES = {"x86": "m7i.large", "arm": "m8g.xlarge"}
X86, ARM = ("x86", "x86_64"), ("arm", "arm64")
WHOLE = {"requested": 2.0, "allocated": 3.5, "installing": 8.0, "running": 20.0}

Series = dict[tuple[str, ...], float]


class Clock:
    """Time that a test moves, in seconds after `T0`."""

    def __init__(self, now: float = 0.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return T0 + self.now


class EmptyCluster:
    """A cluster without a node, at `T0`; an exception is raised in its place."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error

    def poll(self) -> Snapshot:
        if self.error is not None:
            raise self.error
        return Snapshot(t=T0)


def exporter_of(*given: Event | list[Event], now: float = 0.0, **options: Any) -> Exporter:
    """An exporter of a trial that has had these events, asked at `T0 + now`."""
    exporter = Exporter("c0ffee00", **{"clock": Clock(now), **options})
    exporter.trial_started(1, 1, trial(upscaling_speed=5))
    feed(exporter, *given)
    return exporter


def feed(exporter: Exporter, *given: Event | list[Event]) -> None:
    for group in given:
        for event in group if isinstance(group, list) else [group]:
            exporter.event(event)


def families(exporter: Exporter) -> dict[str, Metric]:
    """The families by their name without prefix."""
    return {family.name.removeprefix("orchestrator_"): family for family in exporter.collect()}


def series(exporter: Exporter, name: str, sample: str | None = None) -> Series:
    """The values of a family's samples of this name, by their labels' values; the trial's ids are left out."""
    found = families(exporter).get(name)
    wanted = f"orchestrator_{sample or name}"
    return {
        tuple(value for label, value in each.labels.items() if label not in ("sweep_id", "trial_id")): each.value
        for each in (found.samples if found is not None else ())
        if each.name == wanted
    }


def present(found: Series) -> Series:
    """Those that aren't 0."""
    return {labels: value for labels, value in found.items() if value}


def in_states(exporter: Exporter) -> Series:
    """How many nodes are in which state, by node type and state."""
    return {(node_type, state): value for (node_type, _, state), value in present(series(exporter, "nodes")).items()}


def registry_of(exporter: Exporter) -> CollectorRegistry:
    registry = CollectorRegistry(auto_describe=False)
    registry.register(exporter)
    return registry


def exposed(exporter: Exporter, accept: str = "") -> str:
    """What a scrape gets."""
    encode, _ = choose_encoder(accept)
    return encode(registry_of(exporter)).decode()


def parsed(exporter: Exporter, accept: str = "") -> dict[str, Metric]:
    """What a scrape gets, read by prometheus-client."""
    read = parse_openmetrics if accept else parser.text_string_to_metric_families
    return {family.name: family for family in read(exposed(exporter, accept))}


def watched_cluster(*, errors: int = 0) -> Observer:
    """An observer that has looked once, in 3 ms, after so many failures."""
    view = EmptyCluster(ConnectionError("GCS"))
    observer = Observer(view, lambda *_: NodeTraits("x86_64"), host=None, clock=Clock())
    for _ in range(errors):
        observer.step()
    view.error = None
    observer.step()
    observer.statistics.poll_histogram.observe(0.003)
    return observer


# Nodes


def test_nodes_are_counted_by_state_with_zeros_for_the_others() -> None:
    exporter = exporter_of(baseline("b1"), life("n1", requested=2, allocated=3), life("n2", requested=2))

    assert series(exporter, "nodes") == {
        **{(*X86, state): 0.0 for state in STATES},
        **{(*ARM, state): 0.0 for state in STATES},
        (*X86, "idle"): 1.0,
        (*X86, "allocated"): 1.0,
        (*X86, "requested"): 1.0,
    }


def test_a_node_is_in_one_state_all_its_life() -> None:
    exporter = exporter_of()
    seen = []
    for event in life("n1", requested=1, allocated=2, installing=3, running=4, idle=5, draining=6, terminated=7):
        feed(exporter, event)
        seen.append(in_states(exporter))

    assert seen == [
        {("x86", state): 1.0}
        for state in ("requested", "allocated", "installing", "running", "idle", "draining", "terminated")
    ]


def test_nodes_that_have_ended_are_counted_on() -> None:
    exporter = exporter_of(
        life("n1", requested=1, failed=2),
        life("n2", requested=1, failed=2),
        life("n3", "arm", running=1, terminated=3),
    )

    assert in_states(exporter) == {("x86", "failed"): 2.0, ("arm", "terminated"): 1.0}


def test_a_node_that_crashed_and_was_then_ended_counts_once() -> None:
    exporter = exporter_of(life("n1", allocated=1, running=2, failed=30))
    crashed = in_states(exporter)
    feed(exporter, life("n1", terminated=40))

    assert crashed == {("x86", "failed"): 1.0}
    assert in_states(exporter) == {("x86", "terminated"): 1.0}


def test_a_stage_that_is_heard_of_late_does_not_turn_a_node_back() -> None:
    """v2 notices an allocation only when Ray may already run."""
    exporter = exporter_of(life("n1", running=20), life("n1", allocated=3, installing=8))

    assert in_states(exporter) == {("x86", "running"): 1.0}


def test_a_node_that_refused_to_drain_runs_on() -> None:
    rejected = node(50, "n1", "running", previous="draining", cause="drain_rejected")
    exporter = exporter_of(life("n1", running=20, draining=50), rejected)

    assert in_states(exporter) == {("x86", "running"): 1.0}


def test_the_head_is_no_worker() -> None:
    exporter = exporter_of(node(1, "h", "running", node_type="head"))

    assert in_states(exporter) == {}
    assert series(exporter, "node_state") == series(exporter, "scaling_events", "scaling_events_total") == {}


@pytest.mark.parametrize(
    ("state", "number"),
    [("requested", 1), ("allocated", 2), ("installing", 3), ("running", 4), ("idle", 5), ("draining", 6)],
)
def test_a_nodes_state_has_a_number(state: NodeState, number: int) -> None:
    exporter = exporter_of(node(1, "n1", state))

    assert series(exporter, "node_state") == {("n1", *X86): number}
    assert f"{number} {state}" in families(exporter)["node_state"].documentation


@pytest.mark.parametrize("state", ["terminated", "failed"])
def test_the_series_of_a_node_that_ended_ends(state: NodeState) -> None:
    exporter = exporter_of(life("n1", running=1), node(2, "n1", state), life("n2", "arm", running=1))

    assert series(exporter, "node_state") == {("n2", *ARM): 4.0}


def test_beyond_a_thousand_single_nodes_have_no_series() -> None:
    exporter = exporter_of([node(1, f"n{number}", "running") for number in range(MAX_NODE_SERIES)])
    full = series(exporter, "node_state")
    feed(exporter, node(2, "more", "running"))
    above = families(exporter)
    feed(exporter, node(3, "more", "terminated"))

    assert len(full) == MAX_NODE_SERIES == 1000
    assert "node_state" not in above
    assert len(series(exporter, "node_state")) == MAX_NODE_SERIES
    assert in_states(exporter) == {("x86", "running"): 1000.0, ("x86", "terminated"): 1.0}


def test_the_limits_are_those_of_the_shape() -> None:
    exporter = exporter_of()

    assert series(exporter, "min_workers") == {X86: 1.0, ARM: 0.0}
    assert series(exporter, "max_workers") == {X86: 3.0, ARM: 3.0}
    assert series(exporter, "cluster_max_workers") == {(): float(trial().shape.max_workers)}


# Demand and use


def test_pending_tasks_are_told_by_what_they_need() -> None:
    exporter = exporter_of(demand(1, **{"CPU=1": 7, "CPU=1,Graviton=0.5": 2}))

    assert series(exporter, "pending_tasks") == {("CPU=1",): 7.0, ("CPU=1,Graviton=0.5",): 2.0}
    assert series(exporter, "pending_cpu_cores") == {(): 9.0}


def test_what_no_longer_waits_is_zero() -> None:
    nothing = demand(2).model_copy(update={"pending": {}, "pending_cpus": 0.0})
    exporter = exporter_of(demand(1, **{"CPU=1": 7}), nothing)

    assert series(exporter, "pending_tasks") == {("CPU=1",): 0.0}
    assert series(exporter, "pending_cpu_cores") == {(): 0.0}


def test_before_any_demand_is_seen_nothing_is_pending() -> None:
    exporter = exporter_of()

    assert series(exporter, "pending_tasks") == {}
    assert series(exporter, "pending_cpu_cores") == {(): 0.0}


def test_cpus_are_the_newest_that_were_seen_and_zero_for_types_without_a_node() -> None:
    exporter = exporter_of(
        UsageEvent(t=T0 + 1, cpus={"x86": (1, 2), "arm": (4, 4)}), UsageEvent(t=T0 + 2, cpus={"x86": (3, 6)})
    )

    assert series(exporter, "cpu_used_cores") == {X86: 3.0, ARM: 0.0}
    assert series(exporter, "cpu_capacity_cores") == {X86: 6.0, ARM: 0.0}


# Counters


def test_scaling_events_are_counted_by_cause() -> None:
    exporter = exporter_of(
        node(1, "n1", "requested", cause="demand"),
        node(1, "n2", "requested", cause="demand"),
        node(1, "n3", "requested", cause="min_workers"),
        node(2, "n4", "requested", node_type="arm", cause="demand"),
        node(3, "n1", "failed", cause="launch"),
    )

    assert series(exporter, "scaling_events", "scaling_events_total") == {
        (*X86, "requested", "demand"): 2.0,
        (*X86, "requested", "min_workers"): 1.0,
        (*ARM, "requested", "demand"): 1.0,
        (*X86, "failed", "launch"): 1.0,
    }


def test_the_baseline_is_no_scaling_event_but_what_its_nodes_do_then_is() -> None:
    exporter = exporter_of(baseline("b1"), node(5, "b1", "running", cause="tasks"))

    assert series(exporter, "scaling_events", "scaling_events_total") == {(*X86, "running", "tasks"): 1.0}


def test_every_transition_counts_also_back_and_forth() -> None:
    exporter = exporter_of(*(life("n1", running=t, idle=t + 1) for t in (1, 3, 5)))

    assert series(exporter, "scaling_events", "scaling_events_total") == {
        (*X86, "running", ""): 3.0,
        (*X86, "idle", ""): 3.0,
    }


def test_faults_are_counted_when_they_begin() -> None:
    exporter = exporter_of(
        fault(5, "n0"),
        fault(6, "n1", "pause"),
        fault(9, "n1", "pause", since=6),
        fault(9, "a1", "pause", node_type="arm"),
        fault(20, "n2"),
    )

    assert series(exporter, "faults", "faults_total") == {
        ("kill", *X86): 2.0,
        ("pause", *X86): 1.0,
        ("pause", *ARM): 1.0,
    }


# Histograms


def stage_sums(exporter: Exporter) -> Series:
    return series(exporter, "node_stage_seconds", "node_stage_seconds_sum")


def test_the_stages_of_a_launch_are_measured_when_it_is_done() -> None:
    exporter = exporter_of(life("n1", **WHOLE), life("n2", "arm", requested=2, allocated=4))

    assert stage_sums(exporter) == {
        (*X86, "request"): 1.5,
        (*X86, "boot"): 4.5,
        (*X86, "install"): 12.0,
        (*X86, "launch"): 18.0,
        (*ARM, "request"): 2.0,
    }
    buckets = series(exporter, "node_stage_seconds", "node_stage_seconds_bucket")
    assert [(bound, buckets[*X86, "launch", bound]) for bound in ("10.0", "20.0", "+Inf")] == [
        ("10.0", 0.0),
        ("20.0", 1.0),
        ("+Inf", 1.0),
    ]


def test_each_stage_counts_once_however_often_a_node_runs_again() -> None:
    exporter = exporter_of(life("n1", **WHOLE), life("n1", idle=30), life("n1", running=40), life("n1", idle=50))

    assert set(series(exporter, "node_stage_seconds", "node_stage_seconds_count").values()) == {1.0}
    assert stage_sums(exporter)[*X86, "launch"] == 18.0


def test_stages_that_are_heard_of_late_are_measured_as_well() -> None:
    exporter = exporter_of(
        life("n1", running=20), life("n1", installing=8), life("n1", allocated=3.5), life("n1", requested=2)
    )

    assert stage_sums(exporter) == stage_sums(exporter_of(life("n1", **WHOLE)))


def test_stages_are_those_of_the_analysis() -> None:
    happened = [*life("n1", **WHOLE), *life("n2", allocated=2, running=9), *life("n3", requested=1, failed=3)]
    (expected,) = (each.stage_seconds() for each in node_lives(happened) if each.node == "n1")
    exporter = exporter_of(happened)

    assert {stage: value for (_, _, stage), value in stage_sums(exporter).items()} == expected


def test_a_node_that_was_there_before_has_no_stages() -> None:
    exporter = exporter_of(baseline("b1"), life("b1", running=5))

    assert stage_sums(exporter) == {}


def test_waits_are_measured_by_architecture() -> None:
    exporter = exporter_of(task("n1", 3, 13), task("n1", 0.5, 9), task("n2", 40, 50, node_type="arm", count=20))
    buckets = series(exporter, "task_wait_seconds", "task_wait_seconds_bucket")

    assert series(exporter, "task_wait_seconds", "task_wait_seconds_sum") == {("x86_64",): 3.5, ("arm64",): 800.0}
    assert series(exporter, "task_wait_seconds", "task_wait_seconds_count") == {("x86_64",): 2.0, ("arm64",): 20.0}
    assert [buckets["x86_64", bound] for bound in ("0.1", "0.5", "2.0", "5.0", "+Inf")] == [0, 1, 1, 2, 2]
    assert [buckets["arm64", bound] for bound in ("30.0", "60.0", "3600.0")] == [0, 20, 20]


def test_a_task_that_started_before_its_submission_did_not_wait() -> None:
    """The clocks of two machines differ."""
    exporter = exporter_of(task("n1", -0.2, 9))

    assert series(exporter, "task_wait_seconds", "task_wait_seconds_sum") == {("x86_64",): 0.0}


def test_any_number_of_tasks_alike_is_taken_in_at_once() -> None:
    exporter = exporter_of(task("n1", 2, 12, count=10**15))

    assert series(exporter, "task_wait_seconds", "task_wait_seconds_count") == {("x86_64",): 1e15}


# The trial


def test_the_phase_is_the_newest_one() -> None:
    exporter = exporter_of(phase(-9, "starting"), phase(-5, "preparing"), phase(0, "running"))

    assert present(series(exporter, "trial_phase")) == {("running",): 1.0}
    assert {name for (name,) in series(exporter, "trial_phase")} == {
        "starting", "preparing", "submitting", "running", "scaling_down", "done", "failed",
    }  # fmt: skip


def test_before_the_first_phase_there_is_none() -> None:
    assert set(series(exporter_of(), "trial_phase").values()) == {0.0}


def test_the_start_is_the_submission_and_absent_before() -> None:
    exporter = exporter_of(phase(-9, "starting"), phase(-1, "submitting"))
    before = families(exporter)
    feed(exporter, phase(0.25, "running"), phase(30, "scaling_down"), phase(31, "running"))

    assert "trial_start_timestamp_seconds" not in before
    assert series(exporter, "trial_start_timestamp_seconds") == {(): T0 + 0.25}


def info_of(**knobs: Any) -> Mapping[str, str]:
    exporter = Exporter("c0ffee00")
    exporter.trial_started(1, 1, trial(**knobs))
    (sample,) = families(exporter)["trial_info"].samples
    assert sample.value == 1
    return sample.labels


def test_the_settings_of_the_trial_are_labels() -> None:
    wanted = trial(upscaling_speed=5, idle_timeout_minutes=0.25, repeat=2)

    assert info_of(upscaling_speed=5, idle_timeout_minutes=0.25, repeat=2) == {
        "sweep_id": "c0ffee00",
        "trial_id": wanted.trial_id,
        "backend": "local",
        "autoscaler": "v2",
        "upscaling_speed": "5",
        "idle_timeout_minutes": "0.25",
        "workload": "1 tasks x 10 s x 1 CPU (sleep), burst",
        "repeat": "2",
        "setting": "v2 speed=5 idle=0.25",
    }


def test_a_setting_that_is_the_clusters_own_is_no_label() -> None:
    labels = info_of(autoscaler="v1", target_utilization_fraction=0.8)

    assert labels["target_utilization_fraction"] == "0.8"
    assert not {"upscaling_speed", "idle_timeout_minutes"} & set(labels)


# Cost


def priced(given: Iterable[Event]) -> list[Event]:
    """The events with the instance types that have a price."""
    return [
        event.model_copy(update={"instance_type": INSTANCE_TYPES[event.node_type]})
        if isinstance(event, NodeEvent)
        else event
        for event in given
    ]


def costs(exporter: Exporter) -> Series:
    return series(exporter, "cost_dollars", "cost_dollars_total")


def billed(given: Iterable[Event], now: float) -> Series:
    """What `analysis.cost` says of the trace so far."""
    so_far = sorted((event for event in given if event.t <= T0 + now), key=lambda event: event.t)
    found: dict[tuple[str, ...], float] = defaultdict(float)
    for bill in bills(node_lives(so_far), PRICES, so_far[0].t, T0 + now, T0 + now):
        assert bill.usd is not None
        found[bill.life.node_type, bill.life.arch] += bill.usd
    return dict(found)


LIVES = priced(
    [
        baseline("b1"),
        baseline("b2", node_type="arm"),
        *life("short", requested=1, allocated=2, installing=5, running=9, draining=20, terminated=25),
        *life("long", "arm", requested=1, allocated=3, installing=6, running=10, idle=200),
        *life("refused", requested=4, failed=12),
        *life("never", "arm", requested=4, allocated=7, failed=30),
        *life("crashed", allocated=30, running=40, failed=300),
        *life("crashed", terminated=400),
        *life("b1", terminated=600),
    ]
)


@pytest.mark.parametrize("now", [0, 1.5, 2.5, 22, 28, 65, 70, 150, 299, 310, 399, 401, 599, 601, 5000])
def test_the_cost_is_what_the_analysis_says_of_the_trace_so_far(now: float) -> None:
    exporter = exporter_of(
        sorted((event for event in LIVES if event.t <= T0 + now), key=lambda event: event.t), now=now, prices=PRICES
    )

    assert costs(exporter) == pytest.approx(billed(LIVES, now))


def test_the_cost_is_the_same_if_the_trial_is_watched_all_along() -> None:
    clock = Clock()
    exporter = exporter_of(prices=PRICES, clock=clock)
    for event in sorted(LIVES, key=lambda event: event.t):
        clock.now = event.t - T0 + 0.5
        feed(exporter, event)
        costs(exporter)
    clock.now = 1000

    assert costs(exporter) == pytest.approx(billed(LIVES, 1000))


def test_a_nodes_first_minute_is_paid_at_once_and_then_each_second() -> None:
    clock = Clock(1)
    exporter = exporter_of(priced(life("n1", requested=-5, allocated=0)), prices=PRICES, clock=clock)
    paid = []
    for clock.now in (1, 59, 60, 100):
        paid.append(costs(exporter)[X86])

    assert paid == pytest.approx([0.006, 0.006, 0.006, 0.01])


def test_an_allocation_that_is_heard_of_late_is_paid_from_its_beginning() -> None:
    exporter = exporter_of(priced([*life("n1", running=100), *life("n1", allocated=0)]), prices=PRICES, now=1000)

    assert costs(exporter) == pytest.approx({X86: 0.1})


def test_the_cost_never_falls_though_an_end_is_heard_of_late() -> None:
    clock = Clock(100)
    exporter = exporter_of(priced(life("n1", allocated=0, running=10)), prices=PRICES, clock=clock)
    before = costs(exporter)
    feed(exporter, priced(life("n1", terminated=90)))

    assert costs(exporter) == before == pytest.approx({X86: 0.01})


@pytest.mark.parametrize("prices", [None, Prices(usd_per_hour={"m8g.xlarge": 0.72})])
def test_without_a_price_there_is_no_cost(prices: Prices | None) -> None:
    exporter = exporter_of(priced(life("n1", allocated=0, running=10)), prices=prices, now=100)

    assert costs(exporter) == {}


def test_the_types_that_have_a_price_have_a_cost() -> None:
    both = priced([*life("n1", allocated=0), *life("n2", "arm", allocated=0)])
    exporter = exporter_of(both, prices=Prices(usd_per_hour={"m8g.xlarge": 0.72}), now=100)

    assert costs(exporter) == pytest.approx({ARM: 0.02})


# From trial to trial


def test_the_series_of_a_trial_that_ended_end() -> None:
    clock = Clock(40)
    exporter = exporter_of(life("n1", **WHOLE), demand(1), phase(0, "running"), clock=clock)
    running = set(families(exporter))
    exporter.trial_ended(trial(upscaling_speed=5), None, "it failed")
    ids, after = exporter.ids, []
    for clock.now in (40, 40 + LINGER_S - 0.1, 40 + LINGER_S):
        after.append(set(families(exporter)))

    assert {"trial_info", "nodes", "scaling_events", "pending_tasks"} < running
    assert after == [running, running, set()]
    assert ids == {"sweep_id": "c0ffee00"}


@pytest.mark.parametrize(("first_scrape", "seen"), [(1, True), (30, True), (LONGEST_LINGER_S, False)])
def test_what_happened_after_the_last_scrape_is_seen_by_the_next_one(first_scrape: float, seen: bool) -> None:
    clock = Clock()
    exporter = exporter_of(clock=clock)
    families(exporter)
    feed(exporter, life("n1", terminated=1))
    exporter.trial_ended(trial(upscaling_speed=5), None, "")
    exporter.trial_started(2, 2, trial(upscaling_speed=1))
    clock.now = first_scrape
    first = series(exporter, "scaling_events", "scaling_events_total")
    clock.now += LINGER_S
    second = series(exporter, "scaling_events", "scaling_events_total")

    assert first == ({(*X86, "terminated", ""): 1.0} if seen else {})
    assert second == {}


def test_a_trial_that_ended_costs_no_more() -> None:
    clock = Clock(100)
    exporter = exporter_of(priced(life("n1", allocated=0, running=10)), prices=PRICES, clock=clock)
    exporter.trial_ended(trial(upscaling_speed=5), None, "")
    clock.now = 104

    assert costs(exporter) == pytest.approx({X86: 0.01})


@pytest.mark.parametrize("accept", ["", OPENMETRICS])
def test_two_trials_at_once_share_their_families(accept: str) -> None:
    exporter = exporter_of(LIVES, demand(1), phase(0, "running"), task("n1", 3, 13), prices=PRICES)
    exporter.trial_ended(trial(upscaling_speed=5), scorecard(), "")
    exporter.trial_started(2, 2, trial(upscaling_speed=1))
    feed(exporter, LIVES, demand(1), phase(0, "running"), task("n1", 3, 13))
    lines = exposed(exporter, accept).splitlines()
    kinds = [line.split()[2] for line in lines if line.startswith("# TYPE")]

    assert len(kinds) == len(set(kinds))
    for name, family in parsed(exporter, accept).items():
        per_trial = Counter(sample.labels["trial_id"] for sample in family.samples)
        assert len(set(per_trial.values())) <= 1, (name, per_trial)
        assert name in ("orchestrator_scorecard", "orchestrator_faults") or len(per_trial) == 2, name


def test_another_attempt_at_a_trial_takes_its_series_over() -> None:
    exporter = exporter_of(life("n1", **WHOLE))
    exporter.trial_ended(trial(upscaling_speed=5), None, "it failed")
    exporter.trial_started(1, 1, trial(upscaling_speed=5))

    assert in_states(exporter) == {}


@pytest.mark.parametrize(("scraped", "waited"), [(True, [LINGER_S]), (False, [])])
def test_at_the_sweeps_end_who_scrapes_is_waited_for(scraped: bool, waited: list[float]) -> None:
    sleeps: list[float] = []
    exporter = exporter_of(life("n1", **WHOLE), sleep=sleeps.append)
    if scraped:
        families(exporter)
    exporter.end()

    assert sleeps == waited
    assert in_states(exporter) == {("x86", "running"): 1.0}


def test_an_event_between_two_trials_is_nobodys() -> None:
    exporter = exporter_of()
    exporter.trial_ended(trial(upscaling_speed=5), None, "")
    feed(exporter, life("n1", **WHOLE))
    exporter.trial_started(2, 2, trial(upscaling_speed=1))

    assert present(series(exporter, "nodes")) == {}


def test_the_scorecards_of_ended_trials_stay_until_the_sweep_ends() -> None:
    exporter = exporter_of()
    first, second = trial(upscaling_speed=5), trial(upscaling_speed=1, repeat=2)
    exporter.trial_ended(first, scorecard(12.5, launches=3), "")
    exporter.trial_started(2, 2, second)
    exporter.trial_ended(second, scorecard(30.0, valid=False), "the cluster died")
    found = series(exporter, "scorecard")

    assert found["v2 speed=5", "1", "true", "makespan_s"] == 12.5
    assert found["v2 speed=5", "1", "true", "launches"] == 3
    assert found["v2 speed=1", "2", "false", "makespan_s"] == 30.0
    assert {sample.labels["trial_id"] for sample in families(exporter)["scorecard"].samples} == {
        first.trial_id,
        second.trial_id,
    }


def test_the_numbers_of_a_scorecard_are_plain_ones_and_totals() -> None:
    card = scorecard(None, launches=3, theta_u=0.5, cost_usd=ByPart(total=0.125), warnings=("slow",))
    found = dict(numbers(card))

    assert found["launches"] == 3
    assert found["theta_u"] == 0.5
    assert found["cost_usd"] == 0.125
    assert found["node_seconds"] == 20.0
    assert not {"makespan_s", "valid", "warnings", "task_wait_s", "uncapped"} & set(found)


def test_two_trials_after_each_other_do_not_mix() -> None:
    clock = Clock()
    exporter = exporter_of(life("n1", **WHOLE), demand(1), phase(0, "running"), task("n1", 3, 13), clock=clock)
    second = trial(upscaling_speed=1)
    exporter.trial_ended(trial(upscaling_speed=5), None, "")
    exporter.trial_started(2, 2, second)
    feed(exporter, life("n1", requested=100))
    clock.now = LONGEST_LINGER_S
    fresh = Exporter("c0ffee00", clock=Clock())
    fresh.trial_started(1, 1, second)
    feed(fresh, life("n1", requested=100))

    assert exposed(exporter) == exposed(fresh)
    assert exporter.ids == {"sweep_id": "c0ffee00", "trial_id": second.trial_id}


def test_every_series_of_a_trial_leads_back_to_it() -> None:
    exporter = exporter_of(LIVES, demand(1), phase(0, "running"), task("n1", 3, 13), prices=PRICES)
    ids = {"sweep_id": "c0ffee00", "trial_id": trial(upscaling_speed=5).trial_id}

    assert all(ids.items() <= sample.labels.items() for family in exporter.collect() for sample in family.samples)


def test_a_cluster_that_is_only_observed_has_metrics_without_a_trial() -> None:
    exporter = Exporter("observed", prices=PRICES, clock=Clock(100))
    exporter.watch("20260101-120000")
    feed(exporter, priced(life("n1", allocated=0, running=10)), demand(1), UsageEvent(t=T0, cpus={"x86": (1, 2)}))

    assert exporter.ids == {"sweep_id": "observed", "trial_id": "20260101-120000"}
    assert in_states(exporter) == {("x86", "running"): 1.0}
    assert series(exporter, "cpu_used_cores") == {X86: 1.0}
    assert costs(exporter) == pytest.approx({X86: 0.01})
    assert not {"trial_info", "min_workers", "max_workers", "cluster_max_workers"} & set(families(exporter))


def test_of_a_cluster_whose_config_is_known_the_limits_are_too() -> None:
    exporter = Exporter("observed", clock=Clock())
    exporter.watch("20260101-120000", trial().shape)

    assert series(exporter, "max_workers") == {X86: 3.0, ARM: 3.0}
    assert "trial_info" not in families(exporter)


def test_events_of_other_kinds_change_nothing() -> None:
    exporter = exporter_of()
    before = exposed(exporter)
    feed(exporter, host(1, 50), note(2, "observer_gap"), settings_in_force())

    assert exposed(exporter) == before


# The observer


def test_the_observers_own_metrics_are_there_while_one_watches() -> None:
    observers = [watched_cluster(errors=2)]
    exporter = Exporter("c0ffee00", clock=Clock(4.5), observer=lambda: observers[0] if observers else None)

    assert series(exporter, "observer_lag_seconds") == {(): 4.5}
    assert series(exporter, "observer_errors", "observer_errors_total") == {("gcs_unreachable",): 2.0}
    assert series(exporter, "observer_poll_seconds", "observer_poll_seconds_count") == {(): 1.0}
    observers.clear()
    assert families(exporter) == {}
    assert exporter.lag_s() is None


def test_an_observer_that_has_not_looked_yet_has_no_lag() -> None:
    observer = Observer(EmptyCluster(), lambda *_: NodeTraits("x86_64"), host=None)
    exporter = Exporter("c0ffee00", observer=lambda: observer)

    assert set(families(exporter)) == {"observer_poll_seconds", "observer_errors"}
    assert exporter.lag_s() is None


def test_a_look_from_the_future_is_no_negative_lag() -> None:
    observer = watched_cluster()
    exporter = Exporter("c0ffee00", clock=Clock(-1), observer=lambda: observer)

    assert series(exporter, "observer_lag_seconds") == {(): 0.0}


# The exposition


@pytest.fixture
def full() -> Exporter:
    """An exporter that has something to say of every metric."""
    observer = watched_cluster()
    exporter = Exporter("c0ffee00", prices=PRICES, clock=Clock(100), observer=lambda: observer)
    first = trial(upscaling_speed=5, idle_timeout_minutes=1)
    exporter.trial_started(1, 2, first)
    exporter.trial_ended(first, scorecard(), "")
    exporter.trial_started(2, 2, trial(upscaling_speed=1, idle_timeout_minutes=1))
    usage = UsageEvent(t=T0, cpus={"x86": (1, 2)})
    feed(exporter, LIVES, life("n1", **WHOLE), fault(1, "n0"), demand(1), usage, task("n1", 3, 13), phase(0, "running"))
    return exporter


def documented() -> dict[str, tuple[str, frozenset[str]]]:
    """Type and labels of each metric in the table of docs/metrics.md."""
    rows = [line.split("|")[1:4] for line in DOCUMENT.read_text().splitlines() if line.startswith("| `")]
    return {
        name: (kind.strip(), frozenset(re.findall(r"`(\w+)`", labels)))
        for names, kind, labels in rows
        for name in re.findall(r"`(\w+)`", names)
    }


def with_labels(exporter: Exporter) -> dict[str, tuple[str, frozenset[str]]]:
    """The same of what is served; the ids, and the bounds of buckets, are told of elsewhere."""
    found = {}
    for family in exporter.collect():
        name = family.name.removeprefix("orchestrator_") + ("_total" if family.type == "counter" else "")
        labels = {label for sample in family.samples for label in sample.labels}
        found[name] = (family.type, frozenset(labels - {"sweep_id", "trial_id", "le"}))
    return found


def test_the_metrics_and_their_labels_are_the_documented_ones(full: Exporter) -> None:
    served = with_labels(full)
    by_fraction = Exporter("c0ffee00")
    by_fraction.trial_started(1, 1, trial(autoscaler="v1", target_utilization_fraction=0.8))
    kind, labels = served["trial_info"]
    served["trial_info"] = kind, labels | with_labels(by_fraction)["trial_info"][1]

    assert len(served) > 15
    assert served == documented()


def test_all_but_the_observers_series_carry_the_ids(full: Exporter) -> None:
    for family in full.collect():
        ids = {label for sample in family.samples for label in sample.labels} & {"sweep_id", "trial_id"}

        assert bool(ids) != family.name.startswith("orchestrator_observer_"), family.name


@pytest.mark.parametrize("accept", ["", OPENMETRICS])
def test_the_exposition_is_read_again_with_types_help_and_values(full: Exporter, accept: str) -> None:
    read = parsed(full, accept)
    told = {family.name: family for family in full.collect()}

    assert read.keys() == told.keys()
    for name, family in told.items():
        assert read[name].type == family.type
        assert read[name].documentation == family.documentation != ""
        assert Counter(map(_fact, read[name].samples)) == Counter(map(_fact, family.samples))


def _fact(sample: Any) -> tuple[str, frozenset[tuple[str, str]], float]:
    return sample.name, frozenset(sample.labels.items()), sample.value


def test_openmetrics_ends_with_its_mark(full: Exporter) -> None:
    assert exposed(full, OPENMETRICS).endswith("# EOF\n")


def test_no_series_tells_when_a_counter_was_created(full: Exporter) -> None:
    assert "_created" not in exposed(full) + exposed(full, OPENMETRICS)


@pytest.mark.parametrize("name", ['a"b', "a\\b", "a\nb", "a\rb", "ä€", "a b{c=}", "\x85\u2028", "\\n"])
def test_any_name_of_a_node_type_survives(name: str) -> None:
    exporter = exporter_of(node(1, "n1", "running").model_copy(update={"node_type": name, "node": name}))

    for accept in ("", OPENMETRICS):
        (sample,) = parsed(exporter, accept)["orchestrator_node_state"].samples
        assert sample.labels["node_type"] == sample.labels["node"] == name


def never_to_fall(exporter: Exporter) -> Series:
    """All samples of counters and histograms."""
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in exporter.collect()
        if family.type in ("counter", "histogram")
        for sample in family.samples
    }


@given(st.lists(events(), max_size=12))
def test_after_any_events_the_exposition_is_sound(happened: list[Event]) -> None:
    exporter = exporter_of(prices=Prices(usd_per_hour={"m7i.large": 1.0}))
    before: Series = {}
    for event in happened:
        feed(exporter, event.model_copy(update={"instance_type": "m7i.large"}))
        now = never_to_fall(exporter)
        assert all(now[key] >= value for key, value in before.items())
        before = now

    for accept in ("", OPENMETRICS):
        for family in parsed(exporter, accept).values():
            assert family.type != "gauge" or all(math.isfinite(sample.value) for sample in family.samples)
    for (node_type, arch, _), count in series(exporter, "nodes").items():
        assert count >= 0, (node_type, arch)


lives_of_nodes = st.lists(
    st.builds(
        lambda t, name, state, kind: node(t, name, state, node_type=kind, instance_type=INSTANCE_TYPES[kind]),
        st.floats(-10, 500),
        st.sampled_from(["n1", "n2", "n3"]),
        st.sampled_from(STATES),
        st.sampled_from(["x86", "arm"]),
    ),
    max_size=15,
)


@given(lives_of_nodes, st.lists(st.floats(0, 100), min_size=15, max_size=15))
def test_whatever_nodes_do_and_however_late_it_is_heard_counters_never_fall(
    happened: list[Event], pauses: list[float]
) -> None:
    clock = Clock()
    exporter = exporter_of(prices=PRICES, clock=clock)
    before: Series = {}
    for event, pause in zip(happened, pauses, strict=False):
        clock.now += pause
        feed(exporter, event)
        now = never_to_fall(exporter)
        assert all(now[key] >= value for key, value in before.items())
        before = now


@pytest.fixture
def restless() -> Iterator[None]:
    """Threads that take turns every few bytecodes, so that few events suffice to meet in every place."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(usual)


@pytest.mark.usefixtures("restless")
def test_a_thread_may_scrape_while_events_come_in() -> None:
    exporter = exporter_of(prices=PRICES, now=100)
    registry, encode = registry_of(exporter), choose_encoder("")[0]
    ended, failures, scrapes = threading.Event(), list[Exception](), list[bytes]()

    def scrape() -> None:
        while not ended.is_set():
            try:
                scrapes.append(encode(registry))
            except Exception as error:
                failures.append(error)
                return

    threads = [threading.Thread(target=scrape) for _ in range(2)]
    for thread in threads:
        thread.start()
    for number in range(1000):
        name = f"n{number}"
        feed(exporter, priced(life(name, requested=1, allocated=2, running=3)), task(name, 4, 14))
        feed(exporter, demand(5, **{f"CPU={number % 7}": number}))
        feed(exporter, priced(life(name, terminated=20)) if number % 3 else [])
        if number % 300 == 299:
            exporter.trial_ended(trial(upscaling_speed=5), scorecard(), "")
            exporter.trial_started(1, 1, trial(upscaling_speed=5))
    ended.set()
    for thread in threads:
        thread.join(30)

    assert failures == []
    assert len(scrapes) > 1
    for text in (scrapes[0], scrapes[len(scrapes) // 2], scrapes[-1]):
        assert list(parser.text_string_to_metric_families(text.decode()))
