"""What a replay takes from a recorded trial, and how its errors are counted. The replay itself needs Ray."""

import math

import pytest

from orchestrator.model.events import DemandEvent, Event
from orchestrator.model.latency import Delay, LaunchModel, NodeLatencies
from orchestrator.model.ray_latencies import RayModel
from orchestrator.model.trial import Trial
from orchestrator.replay.replay import Comparison, Validation, measured_latencies, replay_of
from tests.support.builders import SHAPE, T0, baseline, life, scorecard, sound, task, trial


def assuming(**parts: object) -> Trial:
    """A trial on a shape with these launch and simulation models."""
    shape = SHAPE.replace(**parts)
    return trial().model_copy(update={"shape": shape})


def seen(t: float, pending: int) -> DemandEvent:
    return DemandEvent(t=T0 + t, pending={"CPU=1": pending} if pending else {}, pending_cpus=pending)


EVENTS: list[Event] = sound(
    *life("early", requested=-20, allocated=-19, installing=-15, running=-10),
    baseline("n0"),
    *life("late", requested=8, allocated=9, installing=12, running=20),
    *life("n1", requested=3, allocated=5, installing=8, running=12),
    *life("n2", "arm", requested=3, allocated=4, running=10),
    *life("lost", "arm", requested=4, failed=6),
    task("n0", 0, 30),
    end=40,
)


def test_nodes_take_what_they_took_in_the_order_of_their_requests() -> None:
    latencies = measured_latencies(assuming(launch=LaunchModel(terminate=Delay(mean_s=7))), EVENTS)

    assert latencies("x86", 0) == NodeLatencies(request=2, boot=3, install=4, terminate=7)
    assert latencies("x86", 1) == NodeLatencies(request=1, boot=3, install=8, terminate=7)
    assert latencies("arm", 0) == NodeLatencies(request=1, boot=6, install=0, terminate=7)


def test_a_refused_node_keeps_its_place_among_those_that_were_launched() -> None:
    events = sound(
        baseline("n0"),
        *life("refused", requested=3, failed=5),
        *life("granted", requested=8, allocated=9, installing=12, running=20),
        *life("broken", requested=10, allocated=11, installing=15, failed=16),
        task("n0", 0, 30),
        end=40,
    )
    latencies = measured_latencies(assuming(launch=LaunchModel(boot=Delay(mean_s=60))), events)

    assert latencies("x86", 0) == NodeLatencies(request=2, boot=60)
    assert latencies("x86", 1) == NodeLatencies(request=1, boot=3, install=8)
    assert latencies("x86", 2) == NodeLatencies(request=1, boot=4)


def test_for_a_node_that_was_not_launched_the_model_stands_in() -> None:
    latencies = measured_latencies(assuming(launch=LaunchModel(boot=Delay(mean_s=60))), EVENTS)

    assert latencies("x86", 2) == NodeLatencies(boot=60)
    assert latencies("arm", 1) == NodeLatencies(request=2, boot=60)
    assert latencies("arm", 2) == NodeLatencies(boot=60)


@pytest.mark.parametrize(
    ("first_request", "phase"),
    [(3.0, 0.4), (8.0, 0.4), (0.0, 0.0), (5.0, 0.0), (4.999, 0.0002)],
)
def test_the_first_update_comes_when_it_came(first_request: float, phase: float) -> None:
    """An update each 5 s: with the first request after 3 s, the submission was 2 s after an update."""
    events = sound(
        baseline("n0"),
        *life("n1", requested=first_request, allocated=first_request + 1, running=first_request + 9),
        task("n0", 0, 30),
        end=40,
    )

    assert replay_of(trial(), events).shape.simulation.submit_phase == pytest.approx(phase)


@pytest.mark.parametrize(
    ("assumed", "observed", "expected"),
    [(1.5, 1.8, 1.5), (1.5, 0.5, 0.5), (1.5, 2.5, 2.0), (9.0, 4.0, 3.0), (1.5, None, 1.5), (4.0, None, 3.0)],
)
def test_the_demand_was_seen_before_it_was_acted_upon(assumed: float, observed: float | None, expected: float) -> None:
    """As late as the model says, but no later than the observer saw it, nor than the first request after 3 s.

    And no earlier than the poll before, half a second earlier, which didn't see it.
    """
    demand = [seen(observed, 3)] if observed is not None else []
    events = [*(event for event in EVENTS if not isinstance(event, DemandEvent)), *demand]
    model = RayModel(demand_lag=Delay(mean_s=assumed))

    assert replay_of(assuming(simulation=model), events).shape.simulation.demand_lag == Delay(mean_s=expected)


def test_without_a_launch_the_models_stand() -> None:
    events = sound(baseline("n0"), task("n0", 0, 10), end=20)
    replay = replay_of(trial(), events)

    assert replay.backend == "simulated"
    assert replay.shape == SHAPE


# Errors


Times = tuple[float, ...]


def validation(
    recorded: dict[str, float], simulated: dict[str, float], launches: tuple[Times, Times] = ((), ())
) -> Validation:
    base = {"time_to_peak_s": 10.0, "launches": 4}
    cards = [scorecard(**{"makespan_s": 100.0, **base, **values}) for values in (recorded, simulated)]
    return Validation(trial(), cards[0], cards[1], launches)


def test_errors_are_simulated_less_recorded() -> None:
    row = Comparison("makespan_s", 50.0, 45.0)

    assert (row.error, row.relative_error) == (-5.0, -0.1)


@pytest.mark.parametrize(
    ("recorded", "simulated", "expected"),
    [(0.0, 0.0, 0.0), (0.0, 1.0, None), (None, 1.0, None), (1.0, None, None)],
)
def test_an_error_that_has_no_share(recorded: float | None, simulated: float | None, expected: float | None) -> None:
    assert Comparison("theta_u", recorded, simulated).relative_error == expected


@pytest.mark.parametrize(
    ("changed", "worst"),
    [
        ({}, 0.0),
        ({"makespan_s": 110.0}, 0.1),
        ({"makespan_s": 98.0, "time_to_peak_s": 8.0}, 0.2),
        ({"scale_down_s": 500.0}, 0.0),
        ({"launches": 5}, math.inf),
        ({"time_to_peak_s": None}, math.inf),
    ],
)
def test_the_worst_error_is_that_of_the_decisive_times(changed: dict[str, float], worst: float) -> None:
    assert validation({}, changed).worst == pytest.approx(worst)


@pytest.mark.parametrize(
    ("recorded", "simulated", "late"),
    [
        ((1.2, 6.4), (1.2, 6.2), [0, 0]),
        ((6.1, 6.1, 11.4), (1.1, 1.1, 11.1), [1, 1, 0]),
        ((1.1, 6.2), (1.1, 11.1), [0, -1]),
        ((4.0,), (1.0,), [None]),
        ((1.0, 6.0), (1.0,), [0, None]),
        ((), (), []),
    ],
)
def test_launches_that_came_whole_updates_later_or_earlier_are_told(
    recorded: Times, simulated: Times, late: list[int | None]
) -> None:
    """An update each 5 s."""
    assert validation({}, {}, (recorded, simulated)).updates_late == late
