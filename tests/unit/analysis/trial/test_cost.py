"""Bills that can be computed by hand: an x86 node costs $3.60 an hour, a tenth of a cent a second; an arm node half."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.analysis.trial.cost import Bill, billed_seconds, bills, cost_usd, meter
from orchestrator.analysis.trial.node_lives import node_lives
from orchestrator.model.events import Event
from orchestrator.model.prices import Prices
from orchestrator.model.scorecard import ByPart
from tests.support.builders import T0, baseline, life

INTEL, GRAVITON = "m7i.2xlarge", "m8g.2xlarge"
PRICES = Prices(usd_per_hour={INTEL: 3.6, GRAVITON: 1.8})


def on(instance_type: str, *events: Event) -> list[Event]:
    """The events of a node that is such a machine."""
    return [event.model_copy(update={"instance_type": instance_type}) for event in events]


def billed(
    *nodes: list[Event], start: float = 0, until: float = 1000, end: float = 1000, prices: Prices = PRICES
) -> list[Bill]:
    """The bills from `start` until `until`, of a trace that ends at `end`."""
    events = sorted((event for node in nodes for event in node), key=lambda event: event.t)
    return bills(node_lives(events), prices, T0 + start, T0 + until, T0 + end)


def seconds_and_usd(found: list[Bill]) -> list[tuple[float, float | None]]:
    return [(bill.seconds, None if bill.usd is None else round(bill.usd, 9)) for bill in found]


WHOLE = on(
    INTEL, *life("n1", requested=2, allocated=3, installing=40, running=60, idle=200, draining=250, terminated=303)
)


def test_a_node_is_billed_by_the_second_from_its_allocation_to_its_end() -> None:
    assert seconds_and_usd(billed(WHOLE)) == [(300.0, 0.3)]


@pytest.mark.parametrize(
    ("terminated", "seconds"), [(3, 60.0), (4, 60.0), (62.5, 60.0), (63, 60.0), (63.25, 60.25), (64, 61.0)]
)
def test_a_node_that_was_allocated_is_billed_for_a_minute_at_least(terminated: float, seconds: float) -> None:
    found = billed(on(INTEL, *life("n1", requested=2, allocated=3, terminated=terminated)))

    assert seconds_and_usd(found) == [(seconds, round(seconds / 1000, 9))]


def test_a_node_allocated_shortly_before_the_time_ends_is_billed_for_its_whole_minute() -> None:
    found = billed(on(INTEL, *life("n1", requested=80, allocated=90, running=95)), until=100)

    assert seconds_and_usd(found) == [(60.0, 0.06)]


def test_a_node_allocated_at_the_very_beginning_has_its_minute_and_one_at_the_very_end_nothing() -> None:
    first = on(INTEL, *life("n1", allocated=0, terminated=10))
    last = on(INTEL, *life("n2", allocated=100, running=130))

    assert [(bill.life.node, bill.seconds) for bill in billed(first, last, until=100)] == [("n1", 60.0)]


def test_a_node_whose_allocation_nobody_saw_is_billed_from_its_start_and_for_a_minute() -> None:
    assert seconds_and_usd(billed(on(INTEL, *life("n1", requested=2, running=9, terminated=19)))) == [(60.0, 0.06)]


def test_a_baseline_node_is_billed_for_what_lies_within() -> None:
    assert seconds_and_usd(billed(on(INTEL, baseline("n0", since=-100)), until=40)) == [(40.0, 0.04)]


def test_a_baseline_node_has_no_minimum_even_if_it_began_within() -> None:
    found = billed(on(INTEL, baseline("n0", since=-5), *life("n0", terminated=25)), start=-10)

    assert seconds_and_usd(found) == [(30.0, 0.03)]


def test_a_node_allocated_before_the_time_is_clipped_without_a_minimum() -> None:
    found = billed(on(INTEL, *life("n1", requested=-30, allocated=-20, running=-1, terminated=15)))

    assert seconds_and_usd(found) == [(15.0, 0.015)]


def test_a_node_that_had_gone_before_costs_nothing() -> None:
    assert billed(on(INTEL, *life("old", allocated=-90, running=-80, terminated=-5))) == []


def test_a_node_that_still_runs_is_billed_until_the_trace_ends() -> None:
    assert seconds_and_usd(billed(on(INTEL, *life("n1", allocated=100, running=150)), end=500)) == [(400.0, 0.4)]


def test_a_node_that_outlives_the_time_is_billed_until_then() -> None:
    assert seconds_and_usd(billed(WHOLE, until=203)) == [(200.0, 0.2)]


def test_a_node_that_crashed_is_billed_until_its_machine_was_ended() -> None:
    found = billed(on(INTEL, *life("n1", requested=2, allocated=3, running=10, failed=100, terminated=203)))

    assert seconds_and_usd(found) == [(200.0, 0.2)]


def test_a_node_that_crashed_and_whose_end_nobody_saw_is_billed_until_the_crash() -> None:
    assert seconds_and_usd(billed(on(INTEL, *life("n1", allocated=3, running=10, failed=103)))) == [(100.0, 0.1)]


def test_a_launch_that_failed_before_a_machine_was_given_costs_nothing() -> None:
    assert billed(on(INTEL, *life("n1", requested=2, failed=500))) == []


def test_a_launch_that_failed_on_its_machine_is_billed() -> None:
    assert seconds_and_usd(billed(on(INTEL, *life("n1", requested=2, allocated=3, failed=123)))) == [(120.0, 0.12)]


def test_another_size_of_a_listed_family_is_billed_by_its_size() -> None:
    assert seconds_and_usd(billed(on("m7i.xlarge", *life("n1", allocated=0, terminated=100)))) == [(100.0, 0.05)]


def test_spot_nodes_are_billed_at_spot_prices_and_for_a_minute_at_least() -> None:
    spot = Prices(spot=True, usd_per_hour={INTEL: 0.9})
    short = on(INTEL, *life("n1", allocated=0, terminated=20))
    other = on("m7i.xlarge", *life("n2", allocated=0, terminated=100))

    assert seconds_and_usd(billed(short, other, prices=spot)) == [(60.0, 0.015), (100.0, None)]


# The sum


def test_the_cost_is_the_sum_of_all_bills_by_type_and_arch() -> None:
    found = billed(
        on(INTEL, baseline("n0")),
        WHOLE,
        on(GRAVITON, *life("n2", "arm", requested=2, allocated=3, running=9, terminated=203)),
        on(GRAVITON, *life("n3", "arm", requested=2, allocated=3, running=9, terminated=13)),
        until=500,
    )
    cost = cost_usd(found)

    assert cost is not None
    assert cost.total == pytest.approx(0.5 + 0.3 + 0.1 + 0.03)
    assert cost.by_type == pytest.approx({"x86": 0.8, "arm": 0.13})
    assert cost.by_arch == pytest.approx({"x86_64": 0.8, "arm64": 0.13})


@pytest.mark.parametrize("instance_type", ["", "p5.48xlarge"])
def test_a_single_node_of_an_unknown_price_leaves_the_cost_unknown(instance_type: str) -> None:
    found = billed(WHOLE, on(instance_type, *life("n2", allocated=3, terminated=103)))

    assert seconds_and_usd(found) == [(300.0, 0.3), (100.0, None)]
    assert cost_usd(found) is None


def test_a_node_that_costs_nothing_needs_no_price() -> None:
    cost = cost_usd(billed(WHOLE, on("", *life("n2", requested=2, failed=9))))

    assert cost is not None
    assert cost.total == pytest.approx(0.3)


def test_no_nodes_cost_nothing() -> None:
    assert cost_usd(billed()) == ByPart(total=0.0)


def test_a_node_whose_instance_type_becomes_known_later_has_its_price() -> None:
    known = on(INTEL, *life("n1", allocated=3))
    found = billed([*life("n1", requested=2), *known, *life("n1", terminated=103)])

    assert seconds_and_usd(found) == [(100.0, 0.1)]


# Any lives


@st.composite
def nodes(draw: st.DrawFn) -> list[list[Event]]:
    """Nodes of both kinds that live from before 100 until after 900."""
    drawn = []
    for number in range(draw(st.integers(0, 4))):
        node_type, instance_type = draw(st.sampled_from([("x86", INTEL), ("arm", GRAVITON)]))
        allocated, running = draw(st.floats(0, 50)), draw(st.floats(50, 100))
        times = {"allocated": allocated, "running": running, "terminated": draw(st.floats(900, 1100))}
        drawn.append(on(instance_type, *life(f"n{number}", node_type, **times)))
    return drawn


def total(found: list[Bill]) -> float:
    cost = cost_usd(found)
    assert cost is not None
    assert cost.total == pytest.approx(sum(cost.by_type.values())) == pytest.approx(sum(cost.by_arch.values()))
    return cost.total


@given(nodes(), st.floats(200, 800))
def test_for_nodes_that_live_long_the_costs_of_two_times_add_up(drawn: list[list[Event]], between: float) -> None:
    parts = total(billed(*drawn, until=between)) + total(billed(*drawn, start=between))

    assert parts == pytest.approx(total(billed(*drawn)))


@given(nodes(), st.floats(0.01, 100))
def test_the_cost_is_proportional_to_the_prices(drawn: list[list[Event]], factor: float) -> None:
    dearer = Prices(usd_per_hour={name: usd * factor for name, usd in PRICES.usd_per_hour.items()})

    assert total(billed(*drawn, prices=dearer)) == pytest.approx(factor * total(billed(*drawn)))


@given(nodes(), st.floats(0, 1200), st.floats(0, 1200))
def test_no_bill_is_below_zero_and_a_time_that_is_none_costs_nothing(
    drawn: list[list[Event]], start: float, until: float
) -> None:
    found = billed(*drawn, start=start, until=until)

    assert all(bill.seconds > 0 for bill in found)
    assert until > start or found == []


# A meter


@pytest.mark.parametrize("events", [
    life("n1", requested=0, allocated=2, running=9),
    life("n1", requested=0, allocated=2, running=9, idle=300, draining=400, terminated=410),
    life("n1", allocated=2, running=9, failed=200),
    life("n1", allocated=2, running=9, failed=200, terminated=300),
    life("n1", allocated=2, failed=20),
    life("n1", requested=2),
    [baseline("n1"), *life("n1", running=50, terminated=200)],
])  # fmt: skip
@pytest.mark.parametrize("now", [410, 1000])
def test_a_meter_shows_what_the_bill_will_say(events: list[Event], now: float) -> None:
    (found,) = node_lives(events)

    assert meter(found, T0).seconds(T0 + now) == billed_seconds(found, T0, math.inf, T0 + now)


def test_a_meter_of_a_node_that_is_only_requested_has_not_begun() -> None:
    assert [
        meter(node_lives(life("n1", **states))[0], T0).has_begun for states in ({"requested": 1}, {"allocated": 1})
    ] == [
        False,
        True,
    ]
