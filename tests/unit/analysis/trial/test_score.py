"""Scorecards of traces that can be computed by hand. Seconds stand for seconds after the submission."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.analysis.trial.score import quantiles, score
from orchestrator.model.events import Event
from orchestrator.model.prices import Prices
from orchestrator.model.scorecard import ByPart, Quantiles, Scorecard
from tests.support.builders import SHAPE, baseline, host, life, node, phase, settings_in_force, sound, task, trial


def exactly(value: float) -> Quantiles:
    """One measurement."""
    return Quantiles(p50=value, p95=value, max=value, n=1)


def shown(card: Scorecard, *names: str) -> dict[str, Any]:
    return {name: getattr(card, name) for name in names}


COUNTS = ("launches", "terminations", "failed_launches", "node_failures", "excess_nodes", "peak_nodes")
TIMES = ("makespan_s", "time_to_first_node_s", "time_to_peak_s", "scale_down_s")


# A single baseline node


SINGLE = sound(baseline("n0"), node(1, "n0", "running"), task("n0", 1, 11), node(12, "n0", "idle"), end=20)


def test_one_task_on_the_baseline_launches_nothing() -> None:
    card = score(trial(), SINGLE)

    assert shown(card, *COUNTS) == dict(zip(COUNTS, (0, 0, 0, 0, 0, 1), strict=True))
    assert shown(card, *TIMES) == {
        "makespan_s": 11.0,
        "time_to_first_node_s": None,
        "time_to_peak_s": 0.0,
        "scale_down_s": 0.0,
    }


def test_one_task_on_the_baseline_uses_half_of_the_node_for_ten_of_eleven_seconds() -> None:
    card = score(trial(), SINGLE)

    assert card.cpu_utilisation == pytest.approx(10 / 22)
    assert card.node_seconds == ByPart(total=11.0, by_type={"x86": 11.0}, by_arch={"x86_64": 11.0})
    assert card.idle_node_seconds == ByPart(total=1.0, by_type={"x86": 1.0}, by_arch={"x86_64": 1.0})
    assert card.task_wait_s == {"all": exactly(1.0), "x86_64": exactly(1.0)}
    assert card.launch_s == {}
    assert card.valid


# Two launches, one of each architecture


TWO = sound(
    baseline("n0"),
    life("n1", requested=2, allocated=3, installing=8, running=10, idle=30, draining=45, terminated=50),
    life("n2", "arm", requested=2, allocated=3, installing=12, running=15, idle=35, draining=52, terminated=60),
    task("n0", 1, 21, count=2),
    task("n1", 10, 30, count=2),
    task("n2", 15, 35, node_type="arm", count=4),
    end=61,
)


def test_two_launches_are_counted_and_timed() -> None:
    card = score(trial(tasks=8), TWO)

    assert shown(card, *COUNTS) == dict(zip(COUNTS, (2, 2, 0, 0, 0, 3), strict=True))
    assert shown(card, *TIMES) == {
        "makespan_s": 35.0,
        "time_to_first_node_s": 10.0,
        "time_to_peak_s": 15.0,
        "scale_down_s": 25.0,
    }
    assert card.tasks == 8
    assert card.valid


def test_a_launched_node_counts_from_its_allocation_to_its_end() -> None:
    card = score(trial(tasks=8), TWO)

    assert card.node_seconds == ByPart(
        total=60.0 + 47.0 + 57.0, by_type={"x86": 107.0, "arm": 57.0}, by_arch={"x86_64": 107.0, "arm64": 57.0}
    )


def test_a_node_is_idle_while_it_could_run_tasks_and_runs_none() -> None:
    card = score(trial(tasks=8), TWO)

    # n0: 60 s alive, 20 s busy; n1: 35 s alive, 20 s busy; n2: 37 s alive, 20 s busy
    assert card.idle_node_seconds == ByPart(
        total=40.0 + 15.0 + 17.0, by_type={"x86": 55.0, "arm": 17.0}, by_arch={"x86_64": 55.0, "arm64": 17.0}
    )


def test_utilisation_is_cpu_seconds_used_of_those_supplied_until_the_last_task_ends() -> None:
    card = score(trial(tasks=8), TWO)

    assert card.cpu_utilisation == pytest.approx((2 * 20 + 2 * 20 + 4 * 20) / (2 * 35 + 2 * 25 + 4 * 20))


def test_stages_of_a_launch_are_summed_up_by_architecture() -> None:
    card = score(trial(tasks=8), TWO)

    assert card.launch_s["x86_64"] == {
        "request": exactly(1.0),
        "boot": exactly(5.0),
        "install": exactly(2.0),
        "launch": exactly(8.0),
    }
    assert card.launch_s["arm64"]["boot"] == exactly(9.0)
    assert card.launch_s["all"]["boot"] == Quantiles(p50=7.0, p95=8.8, max=9.0, n=2)


def test_waits_are_told_for_each_architecture_and_for_all() -> None:
    card = score(trial(tasks=8), TWO)

    assert card.task_wait_s["arm64"].p50 == 15.0
    assert card.task_wait_s["all"].max == 15.0


def test_tasks_that_share_an_event_are_all_counted() -> None:
    card = score(trial(tasks=8), TWO)

    assert card.task_wait_s["all"].n == 8


# Nodes for nothing, and nodes that failed


def test_a_node_that_never_ran_a_task_is_excess() -> None:
    events = sound(
        baseline("n0"),
        life("n1", requested=2, allocated=3, running=10, idle=10, draining=25, terminated=30),
        task("n0", 1, 11),
        end=40,
    )
    card = score(trial(), events)

    assert shown(card, *COUNTS) == dict(zip(COUNTS, (1, 1, 0, 0, 1, 2), strict=True))
    assert card.scale_down_s == 19.0
    assert card.node_seconds.total == 30.0 + 27.0
    assert card.idle_node_seconds.total == (30.0 - 10.0) + 15.0


def test_a_node_that_joins_after_the_last_task_is_excess_too() -> None:
    events = sound(
        baseline("n0"),
        life("n1", requested=2, allocated=3, running=15, terminated=30),
        task("n0", 1, 11),
        end=40,
    )
    card = score(trial(), events)

    assert card.excess_nodes == 1
    assert card.time_to_peak_s == 0.0
    assert card.peak_nodes == 2


def test_a_launch_that_failed_costs_nothing_and_is_no_excess() -> None:
    events = sound(baseline("n0"), life("i1", requested=2, failed=5), task("n0", 1, 11), end=20)
    card = score(trial(), events)

    assert shown(card, *COUNTS) == dict(zip(COUNTS, (1, 0, 1, 0, 0, 1), strict=True))
    assert card.time_to_first_node_s is None
    assert card.node_seconds.by_type["x86"] == 11.0
    assert len(card.warnings) == 1
    assert card.valid


def test_a_machine_whose_ray_never_started_is_billed_until_it_failed() -> None:
    events = sound(baseline("n0"), life("n1", requested=2, allocated=3, failed=9), task("n0", 1, 11), end=20)
    card = score(trial(), events)

    assert card.failed_launches == 1
    assert card.node_seconds.total == 11.0 + 6.0


def test_a_node_that_crashed_is_a_failure_but_no_failed_launch() -> None:
    events = sound(
        baseline("n0"),
        life("n1", requested=2, allocated=3, running=10, failed=20),
        task("n1", 10, 18),
        task("n0", 1, 31),
        end=40,
    )
    card = score(trial(tasks=2), events)

    assert shown(card, *COUNTS) == dict(zip(COUNTS, (1, 0, 0, 1, 0, 2), strict=True))
    assert card.node_seconds.total == 31.0 + 17.0
    assert card.scale_down_s == 0.0
    assert card.valid
    assert len(card.warnings) == 1


# The end of a trial


def test_a_cluster_that_never_scales_back_has_no_scale_down_time() -> None:
    events = sound(baseline("n0"), life("n1", requested=2, allocated=3, running=10), task("n1", 10, 20), end=50)
    card = score(trial(), events)

    assert card.scale_down_s is None
    assert card.terminations == 0
    assert card.node_seconds.total == 50.0 + 47.0
    assert card.idle_node_seconds.total == 50.0 + 30.0


def test_a_cluster_is_back_even_if_that_is_the_last_thing_in_the_trace() -> None:
    events = sound(
        baseline("n0"),
        life("n1", requested=2, allocated=3, running=10, terminated=40),
        task("n1", 10, 20),
        end=30,
    )

    assert score(trial(), events).scale_down_s == 20.0


def test_scale_down_ends_when_the_last_node_too_many_has_gone() -> None:
    lives = [life(f"n{n}", requested=2, allocated=3, running=10, terminated=30 + 5 * n) for n in (1, 2, 3)]
    card = score(trial(), sound(baseline("n0"), *lives, task("n1", 10, 20), end=60))

    assert card.scale_down_s == 25.0


def test_a_baseline_node_that_was_replaced_is_no_change_of_size() -> None:
    events = sound(
        baseline("n0"),
        node(5, "n0", "failed", cause="crash"),
        life("n1", requested=6, allocated=7, running=10),
        task("n1", 10, 20),
        end=50,
    )
    card = score(trial(), events)

    assert card.scale_down_s == 0.0
    assert (card.launches, card.peak_nodes) == (1, 1)


def test_a_node_that_crashed_is_billed_until_its_machine_was_ended() -> None:
    events = sound(
        baseline("n0"),
        life("n1", requested=2, allocated=3, running=10, failed=20, terminated=26),
        task("n1", 10, 18),
        task("n0", 1, 31),
        end=40,
    )
    card = score(trial(tasks=2), events)

    assert card.node_seconds.total == 31.0 + (26.0 - 3.0)
    assert card.idle_node_seconds.total == 1.0 + 2.0
    assert card.node_failures == 1


def test_a_baseline_node_that_crashed_is_a_failure_of_a_node() -> None:
    events = sound(baseline("n0"), life("n0", failed=5), life("n1", requested=6, running=10), task("n1", 10, 20))

    assert score(trial(), events).node_failures == 1


# What belongs to the trial


def test_nodes_that_went_before_the_submission_are_no_part_of_it() -> None:
    events = sound(
        baseline("n0"),
        life("old", requested=-90, allocated=-89, running=-80, terminated=-5),
        task("n0", 1, 11),
        end=20,
    )
    card = score(trial(), events)

    assert shown(card, *COUNTS) == dict(zip(COUNTS, (0, 0, 0, 0, 0, 1), strict=True))
    assert card.node_seconds.total == 11.0


def test_a_node_requested_before_the_submission_is_no_launch_of_the_trial() -> None:
    events = sound(life("n0", requested=-20, allocated=-19, running=-10), task("n0", 1, 11), end=20)
    card = score(trial(), events)

    assert card.launches == 0
    assert card.node_seconds.total == 11.0


def test_the_head_is_no_supply() -> None:
    head = node(-50, "h", "running", node_type="head")
    card = score(trial(), [head, *SINGLE])

    assert card == score(trial(), SINGLE)


def test_time_begins_with_the_first_submission() -> None:
    events = sound(baseline("n0"), task("n0", 6, 11, submitted=5), task("n0", 16, 25, submitted=15), end=30)
    card = score(trial(tasks=2), events)

    assert card.makespan_s == 20.0
    assert card.task_wait_s["all"] == exactly(1.0).model_copy(update={"n": 2})


def test_only_load_within_the_window_counts() -> None:
    loads = [host(-1, 100), host(1, 20), host(2, 40), host(11, 60), host(11.5, 100)]

    assert score(trial(), sound(*SINGLE[:-1], *loads, end=20)).host_cpu_percent == 40.0


def test_without_samples_of_the_host_its_load_is_not_known() -> None:
    assert score(trial(), SINGLE).host_cpu_percent is None


def test_the_effective_speed_is_that_of_the_settings() -> None:
    by_fraction = trial(autoscaler="v1", target_utilization_fraction=0.5)

    assert score(by_fraction, SINGLE).effective_upscaling_speed == 1.0
    assert score(trial(upscaling_speed=5), SINGLE).effective_upscaling_speed == 5.0


# Traces with nothing in them


@pytest.mark.parametrize(
    "events", [[], [settings_in_force()], [phase(1, "starting")], [baseline("n0")], sound(life("n1", requested=1))]
)
def test_a_trace_without_a_task_is_invalid_and_has_no_numbers(events: list[Event]) -> None:
    card = score(trial(), events)

    assert not card.valid
    assert "0 of 1 tasks were recorded" in card.invalid_because
    assert shown(card, *TIMES) == dict.fromkeys(TIMES)


def test_tasks_on_nodes_that_nobody_saw_are_scored_without_supply() -> None:
    card = score(trial(), sound(task("n0", 1, 11), end=20))

    assert card.makespan_s == 11.0
    assert card.cpu_utilisation is None
    assert card.peak_nodes == 0


# Any trace


@st.composite
def traces(draw: st.DrawFn) -> list[Event]:
    """A baseline node, launches that end or not, a task or more on each node that ran."""
    whole = st.integers(1, 100)
    events: list[Event] = [baseline("n0"), task("n0", 1, draw(whole) + 1)]
    for number in range(draw(st.integers(0, 5))):
        times = sorted(draw(st.lists(whole, min_size=4, max_size=4, unique=True)))
        states = draw(st.sampled_from([("requested", "allocated", "running", "terminated"), ("requested", "failed")]))
        events += life(f"l{number}", **dict(zip(states, map(float, times), strict=False)))
        if "running" in states and draw(st.booleans()):
            events.append(task(f"l{number}", times[2], times[3]))
    return sound(events, end=draw(st.integers(102, 200)))


@given(traces())
def test_numbers_of_any_trace_fit_each_other(events: list[Event]) -> None:
    card = score(trial(), events)

    assert card.launches >= card.failed_launches + card.excess_nodes
    assert 1 <= card.peak_nodes <= 1 + card.launches
    assert 0 <= card.idle_node_seconds.total <= card.node_seconds.total
    assert card.node_seconds.total == pytest.approx(sum(card.node_seconds.by_type.values()))
    assert card.node_seconds.total == pytest.approx(sum(card.node_seconds.by_arch.values()))
    assert card.makespan_s is not None
    assert card.time_to_peak_s is not None
    assert 0 <= card.time_to_peak_s <= card.makespan_s
    assert card.scale_down_s is not None
    assert card == Scorecard.model_validate_json(card.model_dump_json())


def test_the_baseline_of_the_shape_used_here_is_one_node() -> None:
    assert sum(SHAPE.baseline.values()) == 1


# Quantiles


@pytest.mark.parametrize(
    ("values", "p50", "p95"), [([7.0], 7.0, 7.0), ([1.0, 3.0], 2.0, 2.9), ([3.0, 1.0, 2.0], 2.0, 2.9)]
)
def test_quantiles_lie_linearly_between_ranks(values: list[float], p50: float, p95: float) -> None:
    found = quantiles(values)

    assert found.p50 == pytest.approx(p50)
    assert found.p95 == pytest.approx(p95)
    assert (found.max, found.n) == (max(values), len(values))


@given(st.lists(st.floats(0, 1e6), min_size=1))
def test_quantiles_never_leave_the_range_of_the_values(values: list[float]) -> None:
    found = quantiles(values)

    assert min(values) <= found.p50 <= found.p95 <= found.max == max(values)


# Price-performance


def test_tasks_for_each_dollar_by_architecture() -> None:
    """An x86 node of 0.36 $ an hour for 100 s, an arm node of 0.72 for its 60 s at least; 10 tasks and 3."""
    prices = Prices(usd_per_hour={"m7i.large": 0.36, "m8g.xlarge": 0.72})
    events = sound(
        baseline("n0", instance_type="m7i.large"),
        node(0, "n0", "running", instance_type="m7i.large"),
        node(1, "n1", "requested", node_type="arm", instance_type="m8g.xlarge"),
        node(50, "n1", "allocated", node_type="arm", instance_type="m8g.xlarge"),
        node(60, "n1", "running", node_type="arm", instance_type="m8g.xlarge"),
        task("n0", 0, 100, count=10),
        task("n1", 60, 90, node_type="arm", count=3),
        node(95, "n1", "terminated", node_type="arm", instance_type="m8g.xlarge"),
        end=100,
    )
    card = score(trial(tasks=13), events, prices)

    assert card.cost_usd is not None
    assert card.cost_usd.by_arch == pytest.approx({"x86_64": 0.01, "arm64": 0.012})
    assert card.tasks_per_usd == pytest.approx({"all": 13 / 0.022, "x86_64": 1000, "arm64": 250})


def test_without_prices_there_is_no_price_performance() -> None:
    assert score(trial(), SINGLE).tasks_per_usd == {}
