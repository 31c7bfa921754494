"""Waterfalls that can be computed by hand. Seconds stand for seconds after the submission."""

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.analysis.trial.node_lives import node_lives
from orchestrator.analysis.trial.waterfall import Waterfall, queued_since, time_spent, waterfalls
from orchestrator.model.events import Event, TaskEvent
from orchestrator.model.scorecard import Quantiles
from orchestrator.model.trial import Trial
from tests.support.builders import T0, baseline, life, node, task, trial

WHOLE = life("n1", requested=2, allocated=3, installing=8, running=10, idle=30, draining=45, terminated=50)


def found(*events: Event | Sequence[Event], of: Trial | None = None) -> list[Waterfall]:
    """The waterfalls of a trace, in seconds after the submission."""
    flat = [event for group in events for event in (group if isinstance(group, Sequence) else [group])]
    flat.sort(key=lambda event: event.t)
    return waterfalls(of or trial(), node_lives(flat), [event for event in flat if isinstance(event, TaskEvent)])


def queued(*events: Event | Sequence[Event], of: Trial | None = None) -> dict[str, float | None]:
    """Since when each launched node's demand was waiting, in seconds after the submission."""
    return {
        each.node: None if each.queued is None else each.queued - T0
        for each in found(*events, of=of)
        if not each.baseline
    }


# Stages


def test_a_node_goes_through_all_stages() -> None:
    (waterfall,) = found(WHOLE, task("n1", 12, 30))

    assert waterfall == Waterfall(
        node="n1",
        node_type="x86",
        arch="x86_64",
        baseline=False,
        queued=T0,
        requested=T0 + 2,
        allocated=T0 + 3,
        installing=T0 + 8,
        running=T0 + 10,
        first_task=T0 + 12,
        idle=T0 + 30,
        draining=T0 + 45,
        terminated=T0 + 50,
    )
    assert waterfall.seconds() == {
        "autoscaler": 2,
        "request": 1,
        "boot": 5,
        "install": 2,
        "first_task": 2,
        "work": 18,
        "idle": 15,
        "drain": 5,
    }


def test_a_stage_that_the_trace_does_not_show_is_none_and_lasts_nothing() -> None:
    (waterfall,) = found(life("n1", requested=2, running=10), task("n1", 12, 30))

    assert waterfall.allocated is None
    assert waterfall.seconds() == {"autoscaler": 2, "first_task": 2}


def test_idle_is_the_time_that_led_to_the_end() -> None:
    again = [node(35, "n1", "running"), node(40, "n1", "idle")]
    (waterfall,) = found(WHOLE, again, task("n1", 12, 30), task("n1", 35, 40))

    assert (waterfall.idle, waterfall.first_task) == (T0 + 40, T0 + 12)


def test_a_node_that_is_ended_at_work_was_never_idle_for_good() -> None:
    (waterfall,) = found(WHOLE, node(40, "n1", "running"), task("n1", 12, 30))

    assert (waterfall.idle, waterfall.draining) == (None, T0 + 45)


def test_a_drain_that_was_taken_back_does_not_count() -> None:
    back = [node(20, "n1", "draining"), node(21, "n1", "running", cause="drain_rejected")]
    (waterfall,) = found(WHOLE, back, task("n1", 12, 30))

    assert waterfall.draining == T0 + 45


def test_of_a_baseline_node_nothing_before_its_first_task_is_known() -> None:
    (waterfall,) = found(baseline("n0"), node(1, "n0", "running"), task("n0", 1, 11), node(12, "n0", "idle"))

    assert waterfall.baseline
    assert (waterfall.queued, waterfall.requested, waterfall.running) == (None, None, None)
    assert waterfall.seconds() == {"work": 11}


def test_a_launch_that_failed_has_a_queue_and_no_more() -> None:
    (waterfall,) = found(life("n1", requested=5, failed=6), task("n0", 20, 30))

    assert waterfall.failed == T0 + 6
    assert waterfall.seconds() == {"autoscaler": 5}


# Queued: an x86 node runs 2 tasks at once, an arm node 4, all the cluster 3 * 2 + 3 * 4 = 18.


def test_nodes_for_a_burst_are_queued_from_the_submission_on_whenever_they_are_requested() -> None:
    later = life("n2", "arm", requested=70, running=80)

    assert queued(baseline("n0"), WHOLE, later, task("n0", 1, 100, count=18)) == {"n1": 0, "n2": 0}


def test_a_node_for_a_later_wave_is_queued_from_that_wave_on() -> None:
    """The first wave of two tasks fits on the node that is there."""
    waves = [task("n0", 0, 20, count=2), task("n1", 50, 60, submitted=31, count=2), task("n0", 32, 60, submitted=31)]

    assert queued(baseline("n0"), life("n1", requested=35, running=45), waves) == {"n1": 31}


def test_each_node_of_a_ramp_is_queued_since_the_task_came_that_the_nodes_before_it_have_no_room_for() -> None:
    """One task more each second; 2 fit on the baseline, so n1 is for the 3rd and 4th, n2 for the 5th and 6th."""
    ramp = [task("n0", 100, 110, submitted=second) for second in range(10)]
    together = [node(6, "n1", "requested"), node(6, "n2", "requested")]

    assert queued(baseline("n0"), together, ramp) == {"n1": 2, "n2": 4}
    assert queued(baseline("n0"), life("n1", requested=2.5), life("n2", requested=6), ramp) == {"n1": 2, "n2": 4}


def test_a_replacement_is_queued_since_the_node_before_it_was_lost() -> None:
    lost = life("n1", requested=2, running=10, failed=20)

    assert queued(lost, life("n2", requested=25), task("n0", 1, 100, count=2)) == {"n1": 0, "n2": 20}


def test_a_replacement_in_a_full_cluster_is_not_queued_while_the_limit_kept_it_out() -> None:
    """18 tasks run at once at most; a hundred wait all the time."""
    x86 = [baseline("n0"), *life("n1", requested=5), *life("n2", requested=5)]
    arm = [node(5, f"a{number}", "requested", node_type="arm") for number in range(3)]
    lost = node(40, "a0", "failed", node_type="arm")

    assert queued(x86, arm, lost, life("a9", "arm", requested=45), task("n0", 1, 100, count=100))["a9"] == 40


def test_a_node_that_no_waiting_demand_explains_is_not_queued() -> None:
    assert queued(baseline("n0"), WHOLE, task("n0", 1, 10, count=2)) == {"n1": None}
    assert queued(life("n1", requested=15), task("n0", 1, 10, count=2)) == {"n1": None}


def test_only_nodes_that_can_run_the_tasks_are_supply() -> None:
    """Tasks that need Graviton wait although an x86 node is idle, and no x86 node is launched for them."""
    graviton = trial(workload={"resources": {"Graviton": 0.5}})
    launched = [life("n1", requested=5), life("a1", "arm", requested=5), life("a2", "arm", requested=9)]

    assert queued(baseline("n0"), *launched, task("a1", 9, 19, count=3), of=graviton) == {"n1": None, "a1": 0, "a2": 0}


def test_a_node_has_room_for_whole_tasks_only() -> None:
    """An arm node of 4 CPUs runs one task of 3 CPUs."""
    wide = trial(workload={"cpus": 3})
    nodes = [baseline("a0", node_type="arm"), *life("a1", "arm", requested=5)]

    assert queued(nodes, task("a0", 1, 9, count=2), of=wide) == {"a1": 0}
    assert queued(nodes, task("a0", 1, 9), of=wide) == {"a1": None}


def test_tasks_that_need_nothing_wait_for_no_node() -> None:
    assert queued(WHOLE, task("n1", 12, 30), of=trial(workload={"cpus": 0})) == {"n1": None}


@given(
    arrivals=st.lists(st.tuples(st.integers(0, 30), st.integers(1, 30), st.integers(1, 4)), max_size=8),
    requests=st.lists(st.tuples(st.integers(0, 40), st.integers(1, 30)), max_size=6),
)
def test_a_node_is_queued_in_the_last_stretch_of_time_in_which_demand_was_beyond_supply(
    arrivals: list[tuple[int, int, int]], requests: list[tuple[int, int]]
) -> None:
    """Against the definition, second by second."""
    tasks = [task("n0", t, t + lasts, submitted=t, count=count) for t, lasts, count in arrivals]
    events = [event for n, (t, lives) in enumerate(requests) for event in life(f"n{n}", requested=t, failed=t + lives)]
    lives = node_lives(sorted(events, key=lambda event: event.t))

    expected = {}
    for position, each in enumerate(lives):
        (requested, _), (_, _) = each.states
        before = [other for n, other in enumerate(lives) if (other.states[0][0], n) < (requested, position)]

        def supply(t: float, nodes: list = before) -> int:  # type: ignore[type-arg]
            return 2 * sum(1 for other in nodes if other.states[0][0] <= t < other.states[1][0])

        def demand(t: float) -> int:
            return min(18, sum(each.count for each in tasks if each.submitted <= t < each.ended))

        ahead, t = supply(requested), requested
        while demand(t) > max(ahead, supply(t)):
            expected[each.node] = t
            t -= 1

    assert queued_since(trial(), lives, tasks) == expected


# Where the time goes


def test_where_the_time_goes_in_all_by_type_and_by_arch() -> None:
    """Two launches: queue 2 and 4 s, cloud 6 and 10 s, install 2 and 6 s."""
    slower = life("a1", "arm", requested=4, allocated=6, installing=14, running=20)
    spent = time_spent(found(baseline("n0"), WHOLE, slower, task("n1", 12, 30, count=18)))

    def exactly(value: float) -> Quantiles:
        return Quantiles(p50=value, p95=value, max=value, n=1)

    assert spent.by_arch["arm64"] == {"autoscaler": exactly(4), "cloud": exactly(10), "install": exactly(6)} | {
        "all": exactly(20)
    }
    assert spent.by_type["x86"] == {"autoscaler": exactly(2), "cloud": exactly(6), "install": exactly(2)} | {
        "all": exactly(10)
    }
    assert {name: quantiles.p50 for name, quantiles in spent.all.items()} == {
        "autoscaler": 3,
        "cloud": 8,
        "install": 4,
        "all": 15,
    }
    assert {name: quantiles.n for name, quantiles in spent.all.items()} == dict.fromkeys(spent.all, 2)
    assert spent.by_type.keys() == {"x86", "arm"}


def test_where_nothing_was_launched_no_time_goes() -> None:
    spent = time_spent(found(baseline("n0"), task("n0", 1, 2)))

    assert (spent.all, spent.by_type, spent.by_arch) == ({}, {}, {})
