"""A simulation's events are scored in the order of their times; the reason of a failure comes along."""

from orchestrator.errors import TrialTimedOut
from orchestrator.simulator.scored import scored, simulate_and_score
from tests.support.builders import baseline, node, sound, task, trial

EVENTS = sound(baseline("n0"), node(1, "n0", "running"), task("n0", 1, 11), node(12, "n0", "idle"), end=20)


def test_events_are_scored_in_the_order_of_their_times() -> None:
    found = scored(trial(), reversed(EVENTS))

    assert [event.t for event in found.events] == sorted(event.t for event in EVENTS)
    assert found.card.makespan_s == 11
    assert (found.card.valid, found.reason) == (True, "")


def test_a_card_that_is_invalid_gives_the_reason() -> None:
    found = scored(trial(tasks=2), EVENTS)

    assert not found.card.valid
    assert found.reason == "; ".join(found.card.invalid_because)


def test_a_failure_is_the_reason() -> None:
    assert scored(trial(), [], failure=TrialTimedOut("too slow")).reason == "too slow"


def test_a_simulation_that_fails_is_scored_with_its_failure() -> None:
    found = simulate_and_score(trial(), timeout_s=1e-6)

    assert isinstance(found.failure, TrialTimedOut)
    assert not found.card.valid
    assert found.events
