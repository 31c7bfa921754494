"""The metrics are a function of the running trial's events: each is counted by hand here."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

import pytest

from orchestrator.analysis.trial.cost import bills
from orchestrator.analysis.trial.node_lives import STAGES, node_lives, stacked
from orchestrator.metrics.exporter import Exporter
from orchestrator.metrics.trial import FAILED_SHOWN_S, MAX_NODE_SERIES, MAX_PAST_SHAPES
from orchestrator.model.events import NODE_STATES, Event, NodeState, UsageEvent
from orchestrator.model.prices import Prices
from orchestrator.model.workload import MAX_TASKS
from tests.support.builders import (
    T0,
    baseline,
    demand,
    fault,
    life,
    node,
    phase,
    task,
    trial,
)
from tests.support.scraped_exporter import (
    ARM,
    LIVES,
    PRICES,
    WHOLE,
    X86,
    Clock,
    Series,
    costs,
    exporter_of,
    families,
    feed,
    in_states,
    present,
    priced,
    series,
)

# Nodes


def test_nodes_are_counted_by_state_with_zeros_for_the_others() -> None:
    exporter = exporter_of(baseline("b1"), life("n1", requested=2, allocated=3), life("n2", requested=2))

    assert series(exporter, "nodes") == {
        **{(*X86, state): 0.0 for state in NODE_STATES},
        **{(*ARM, state): 0.0 for state in NODE_STATES},
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


def test_a_failed_launch_whose_machine_was_then_ended_counts_once_and_is_billed_until_then() -> None:
    exporter = exporter_of(
        priced([*life("n1", allocated=0, failed=100), *life("n1", terminated=200)]), prices=PRICES, now=1000
    )

    assert in_states(exporter) == {("x86", "terminated"): 1.0}
    assert costs(exporter) == pytest.approx({X86: 0.02})


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


def test_the_series_of_a_node_that_was_removed_ends() -> None:
    exporter = exporter_of(life("n1", running=1), node(2, "n1", "terminated"), life("n2", "arm", running=1))

    assert series(exporter, "node_state") == {("n2", *ARM): 4.0}


def test_a_node_that_failed_is_seen_to_have_failed_for_a_minute() -> None:
    clock = Clock(2)
    exporter = exporter_of(life("n1", running=1), node(2, "n1", "failed"), clock=clock)

    assert series(exporter, "node_state") == {("n1", *X86): 8.0}
    clock.now = 2 + FAILED_SHOWN_S
    assert series(exporter, "node_state") == {}


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


def test_of_the_shapes_that_no_longer_wait_only_the_last_few_are_shown() -> None:
    exporter = exporter_of()
    for number in range(MAX_PAST_SHAPES + 20):
        feed(exporter, demand(number, **{"CPU=1": 2, f"memory={number}": 1}))
    shown = series(exporter, "pending_tasks")

    assert present(shown) == {("CPU=1",): 2.0, (f"memory={MAX_PAST_SHAPES + 19}",): 1.0}
    assert set(shown) - set(present(shown)) == {(f"memory={number}",) for number in range(19, MAX_PAST_SHAPES + 19)}


def test_cpus_used_are_the_newest_that_were_seen_and_zero_for_types_without_a_node() -> None:
    exporter = exporter_of(
        UsageEvent(t=T0 + 1, cpus={"x86": (1, 2), "arm": (4, 4)}), UsageEvent(t=T0 + 2, cpus={"x86": (3, 6)})
    )

    assert series(exporter, "cpu_used_cores") == {X86: 3.0, ARM: 0.0}


def test_a_node_that_drains_is_no_capacity_though_ray_still_counts_its_cpus() -> None:
    exporter = exporter_of(
        life("n1", running=1), life("n2", running=1, idle=5), UsageEvent(t=T0 + 6, cpus={"x86": (2, 4)})
    )
    before = series(exporter, "cpu_capacity_cores")
    feed(exporter, life("n2", draining=8))

    assert before == {X86: 4.0, ARM: 0.0}
    assert series(exporter, "cpu_capacity_cores") == {X86: 2.0, ARM: 0.0}


@pytest.mark.parametrize("now", [0, 8, 9.5, 15, 21, 26, 35, 45, 250, 310, 599, 601])
def test_the_capacity_is_the_supply_that_the_scorecard_sees(now: float) -> None:
    happened = sorted((event for event in LIVES if event.t <= T0 + now), key=lambda event: event.t)
    supply = stacked((life.alive(T0 + now + 1), life.cpus) for life in node_lives(happened))
    exporter = exporter_of(happened, now=now)

    assert sum(series(exporter, "cpu_capacity_cores").values()) == supply.walk()(T0 + now)


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


def test_faults_that_are_planned_begin_at_zero() -> None:
    exporter = Exporter("c0ffee00")
    exporter.trial_started(1, 1, trial(workload={"faults": ["kill@20", "kill@40", "spot@12/h:arm"]}))

    assert series(exporter, "faults", "faults_total") == {("kill", *X86): 0.0, ("kill", *ARM): 0.0, ("spot", *ARM): 0.0}


# Histograms


def stage_sums(exporter: Exporter) -> Series:
    """Of the stages that were measured."""
    counts = series(exporter, "node_stage_seconds", "node_stage_seconds_count")
    sums = series(exporter, "node_stage_seconds", "node_stage_seconds_sum")
    return {labels: sums[labels] for labels in present(counts)}


def test_the_buckets_of_the_shapes_types_begin_at_zero() -> None:
    """What a series has when it appears, `rate` and `increase` miss."""
    exporter = exporter_of()
    waits = series(exporter, "task_wait_seconds", "task_wait_seconds_bucket")
    stages = series(exporter, "node_stage_seconds", "node_stage_seconds_bucket")

    assert {labels[0] for labels in waits} == {"x86_64", "arm64"}
    assert {labels[:3] for labels in stages} == {(*kind, stage) for kind in (X86, ARM) for stage, _, _ in STAGES}
    assert set(waits.values()) == set(stages.values()) == {0.0}


def test_the_buckets_of_a_cluster_of_which_nothing_is_known_begin_with_its_first_task() -> None:
    exporter = Exporter("observed")
    exporter.watch("20260101-120000")
    before = series(exporter, "task_wait_seconds", "task_wait_seconds_count")
    feed(exporter, task("n1", 2, 12))

    assert before == {}
    assert series(exporter, "task_wait_seconds", "task_wait_seconds_count") == {("x86_64",): 1.0}


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

    assert set(present(series(exporter, "node_stage_seconds", "node_stage_seconds_count")).values()) == {1.0}
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

    assert series(exporter, "task_wait_seconds", "task_wait_seconds_sum")["x86_64",] == 0.0
    assert series(exporter, "task_wait_seconds", "task_wait_seconds_count")["x86_64",] == 1.0


def test_any_number_of_tasks_alike_is_taken_in_at_once() -> None:
    exporter = exporter_of(*[task("n1", 2, 12, count=MAX_TASKS)] * 1000)

    assert series(exporter, "task_wait_seconds", "task_wait_seconds_count")["x86_64",] == 1000 * MAX_TASKS


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


def billed(given: Iterable[Event], now: float) -> Series:
    """What `analysis.cost` says of the trace so far."""
    so_far = sorted((event for event in given if event.t <= T0 + now), key=lambda event: event.t)
    found: dict[tuple[str, ...], float] = defaultdict(float)
    for bill in bills(node_lives(so_far), PRICES, so_far[0].t, T0 + now, T0 + now):
        assert bill.usd is not None
        found[bill.life.node_type, bill.life.arch] += bill.usd
    return dict(found)


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
