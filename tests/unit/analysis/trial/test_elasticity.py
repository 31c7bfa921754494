"""Elasticity against step functions whose integrals a pencil can do, and the laws that hold for all of them."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.analysis.trial.elasticity import elasticity
from orchestrator.analysis.trial.score import score
from orchestrator.analysis.trial.steps import StepFunction
from orchestrator.model.scorecard import Elasticity
from tests.support.builders import baseline, life, node, sound, task, trial

Levels = list[tuple[float, float]]


def steps(levels: Levels) -> StepFunction:
    """From (time, level) pairs."""
    return StepFunction(tuple(t for t, _ in levels), tuple(level for _, level in levels))


def of(demand: Levels, supply: Levels, end: float = 60, cap: float = math.inf) -> Elasticity:
    return elasticity(steps(demand), steps(supply), 0, end, cap)


KNOWN: dict[str, tuple[Elasticity, tuple[float, ...]]] = {
    # name: (computed, (theta_u, theta_o, theta_u_relative, theta_o_relative, tau_u, tau_o, jitter_per_min))
    "supply equals demand": (of([(0, 4)], [(0, 4)]), (0, 0, 0, 0, 0, 0, 0)),
    "no demand at all": (of([], [(0, 6)]), (0, 6, 0, 0, 0, 1, 0)),
    "no supply at all": (of([(0, 6)], []), (6, 0, 1, 0, 1, 0, 0)),
    "supply above demand throughout": (of([(0, 2)], [(0, 5)]), (0, 3, 0, 1.5, 0, 1, 0)),
    # 30 s short of 4 CPUs of 8, then enough
    "supply catches up half way": (of([(0, 8)], [(0, 4), (30, 8)]), (2, 0, 0.25, 0, 0.5, 0, 1)),
    # 20 s short of 8 of 10; 20 s level; 20 s with 5 too many
    "too late, then too long": (
        of([(0, 10), (40, 5)], [(0, 2), (20, 10)]),
        (8 * 20 / 60, 5 * 20 / 60, 0.8 * 20 / 60, 1.0 * 20 / 60, 1 / 3, 1 / 3, 0),
    ),
    # both at once: one change each, and never apart
    "simultaneous changes": (of([(0, 2), (30, 6)], [(0, 2), (30, 6)]), (0, 0, 0, 0, 0, 0, 0)),
    # the fall to 0 at T = 60 is outside of the window, and no change in it
    "demand that ends at T": (of([(0, 3), (60, 0)], [(0, 3)]), (0, 0, 0, 0, 0, 0, 0)),
    # a pause from 20 to 40 with nothing asked: over-provisioned by 4, and no relative measure there
    "a pause of the demand": (of([(0, 4), (20, 0), (40, 4)], [(0, 4)]), (0, 4 / 3, 0, 0, 0, 1 / 3, -2)),
    # 100 asked, 8 possible: level with the cap
    "demand above the cap": (of([(0, 100)], [(0, 8)], cap=8), (0, 0, 0, 0, 0, 0, 0)),
    # from 100 to 50 is no change where 8 is the cap; from 50 to 2 at 45 is
    "changes above the cap": (of([(0, 100), (15, 50), (45, 2)], [(0, 8)], cap=8), (0, 1.5, 0, 0.75, 0, 0.25, -1)),
    # in half a minute, supply goes 0, 1, 2, 3 under a demand of 3: three changes, six a minute
    "jitter is by the minute": (
        of([(0, 3)], [(0, 0), (10, 1), (15, 2), (20, 3)], end=30),
        ((3 * 10 + 2 * 5 + 1 * 5) / 30, 0, (10 + 5 * 2 / 3 + 5 / 3) / 30, 0, 20 / 30, 0, 6),
    ),
    # levels from before the window hold in it, changes after it don't count
    "steps outside of the window": (of([(-5, 2), (90, 7)], [(-9, 1), (61, 9)]), (1, 0, 0.5, 0, 1, 0, 0)),
}


@pytest.mark.parametrize("name", KNOWN)
def test_known_answers(name: str) -> None:
    computed, expected = KNOWN[name]

    assert tuple(dict(computed).values()) == pytest.approx(expected)


def test_an_empty_window_has_no_elasticity() -> None:
    assert of([(0, 1)], [(0, 1)], end=0) == Elasticity()


def test_a_trial_is_measured_by_its_tasks_and_its_living_nodes() -> None:
    """One node of 2 CPUs from the beginning, one of 4 from 10 to 25; six tasks of one CPU end at 20, one at 40.

    d: 7 until 20, then 1. s: 2, 6 from 10, 2 from 25. Under: 5 x 10 + 1 x 10; over: 5 x 5 + 1 x 15.
    """
    events = sound(
        baseline("n0"),
        node(0, "n0", "running"),
        *life("n1", "arm", requested=1, allocated=2, running=10, draining=25, terminated=26),
        task("n1", 10, 20, node_type="arm", count=6),
        task("n0", 0, 40),
        node(41, "n0", "idle"),
        end=45,
    )
    card = score(trial(tasks=7), events)

    assert (card.theta_u, card.theta_o) == pytest.approx((60 / 40, 40 / 40))
    assert (card.tau_u, card.tau_o) == pytest.approx((20 / 40, 20 / 40))
    assert card.jitter_per_min == pytest.approx((2 - 1) / (40 / 60))
    assert card.uncapped == Elasticity(**{name: getattr(card, name) for name in Elasticity.model_fields})


def test_demand_counts_as_far_as_the_limits_go_for_this_workload() -> None:
    """30 tasks for Graviton: three nodes of 4 CPUs may run, so 12 CPUs can be had and 30 are asked for."""
    events = sound(baseline("n0"), node(0, "n0", "running"), task("n0", 0, 10, count=30), end=20)
    card = score(trial(tasks=30, workload={"resources": {"Graviton": 0.1}}), events)

    assert (card.theta_u, card.uncapped.theta_u) == (12 - 2, 30 - 2)


# Laws

levels = st.lists(st.tuples(st.integers(0, 100), st.integers(0, 64)), max_size=12, unique_by=lambda step: step[0]).map(
    lambda pairs: [(float(t), float(level)) for t, level in sorted(pairs)]
)
windows = st.integers(1, 120)


@given(levels, levels, windows, st.sampled_from([0.25, 2, 10]))
def test_scaling_time_changes_no_accuracy(demand: Levels, supply: Levels, end: int, factor: float) -> None:
    slower = of([(t * factor, v) for t, v in demand], [(t * factor, v) for t, v in supply], end * factor)
    once = of(demand, supply, end)

    for name in ("theta_u", "theta_o", "theta_u_relative", "theta_o_relative", "tau_u", "tau_o"):
        assert getattr(slower, name) == pytest.approx(getattr(once, name))
    assert slower.jitter_per_min is not None
    assert slower.jitter_per_min * factor == pytest.approx(once.jitter_per_min)


@given(levels, levels, windows, st.integers(1, 16))
def test_an_idle_node_more_raises_over_provisioning_by_its_cpus(
    demand: Levels, supply: Levels, end: int, cpus: int
) -> None:
    """Where there was enough before: short of demand, it would serve it."""
    enough = [(0.0, max((level for _, level in [*demand, *supply]), default=0.0))]
    once, more = of(demand, enough, end), of(demand, [(t, level + cpus) for t, level in enough], end)

    assert once.theta_o is not None
    assert more.theta_o == pytest.approx(once.theta_o + cpus)
    assert more.theta_u == once.theta_u == 0


@given(levels, levels, windows)
def test_what_is_missing_and_what_is_served_make_up_the_demand(demand: Levels, supply: Levels, end: int) -> None:
    card = of(demand, supply, end)
    asked, given_ = steps(demand).integral(0, end), steps(supply).integral(0, end)
    assert card.theta_u is not None
    assert card.theta_o is not None
    served = asked - card.theta_u * end

    assert served == pytest.approx(given_ - card.theta_o * end)
    assert -1e-9 <= served <= min(asked, given_) + 1e-9


@given(levels, levels, windows, st.integers(0, 64))
def test_a_cap_never_raises_what_is_missing(demand: Levels, supply: Levels, end: int, cap: int) -> None:
    capped, uncapped = of(demand, supply, end, cap), of(demand, supply, end)

    assert capped.theta_u is not None
    assert uncapped.theta_u is not None
    assert capped.theta_u <= uncapped.theta_u


def test_fractions_of_cpus_leave_no_residue() -> None:
    """0.1 + 0.2 - 0.3 is no demand, however floating point sees it."""
    demand = StepFunction.from_changes([(0, 0.1), (0, 0.2), (10, -0.3)])

    assert elasticity(demand, StepFunction((), ()), 0, 20).tau_u == 0.5
