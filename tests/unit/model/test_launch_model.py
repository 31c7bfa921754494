"""How a cloud gives and takes nodes, and how Ray behaves in a simulation: what may be written, and what is drawn."""

import math
from typing import Any

import pytest
from pydantic import ValidationError

from orchestrator.model.latency import Delay, LaunchModel, NodeLatencies, StageOverrides
from orchestrator.model.ray_latencies import RayModel
from tests.support.builders import SHAPE

NAN, INFINITY = math.nan, math.inf


def seconds(mean_s: float) -> Delay:
    return Delay(mean_s=mean_s)


STAGES = {"request": seconds(1), "boot": seconds(2), "install": seconds(3), "terminate": seconds(4)}


def test_each_stage_is_drawn_from_its_own_distribution() -> None:
    latencies = LaunchModel(**STAGES).latencies(0, "x86", 0)

    assert latencies == NodeLatencies(request=1, boot=2, install=3, terminate=4)
    assert latencies.launch == 6


def test_a_node_type_differs_in_the_stages_that_it_names_and_in_no_other() -> None:
    launch = LaunchModel(**STAGES, node_types={"arm": StageOverrides(boot=seconds(20))})

    assert launch.latencies(0, "arm", 0) == (1, 20, 3, 4)
    assert launch.latencies(0, "x86", 0) == (1, 2, 3, 4)


REFUSED: list[tuple[str, list[Any]]] = [
    ("failure_rate", [-0.1, 1.1, NAN, "often"]),
    ("spot_interruptions_per_hour", [-1, NAN, INFINITY, 3601]),
    ("capacity", [{"arm": -1}, {"arm": 1.5}, {"arm": "many"}, [1]]),
    ("node_types", [{"arm": {"boots": {}}}, {"arm": {"boot": 5}}, {"arm": None}]),
    ("install", [{"mean_s": -1}]),
    ("terminate", [{"mean_s": NAN}]),
]


@pytest.mark.parametrize("wrong", [{key: value} for key, values in REFUSED for value in values])
def test_a_launch_model_refuses_what_no_cloud_does(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        LaunchModel.model_validate(wrong)


@pytest.mark.parametrize(
    "wrong",
    [
        *({"submit_phase": value} for value in (-0.1, 1.0, NAN, "late")),
        *({name: {"mean_s": -1}} for name in ("demand_lag", "worker_start", "task_overhead", "drain")),
        {"demand_lag": {"distribution": "empirical", "samples": []}},
        {"node_updaters": "maybe"},
        {"lag": 1},
    ],
)
def test_a_model_of_ray_refuses_wrong_values_and_unknown_keys(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        RayModel.model_validate(wrong)


def test_calls_fail_at_the_given_rate_and_the_same_ones_each_time() -> None:
    launch = LaunchModel(failure_rate=0.3)
    fails = [launch.call_fails(1, "x86", call) for call in range(2000)]

    assert 0.25 < sum(fails) / len(fails) < 0.35
    assert fails == [launch.call_fails(1, "x86", call) for call in range(2000)]
    assert not any(LaunchModel().call_fails(1, "x86", call) for call in range(100))
    assert all(LaunchModel(failure_rate=1).call_fails(1, "x86", call) for call in range(100))


def test_machines_live_for_an_hour_on_average_where_one_in_an_hour_is_taken_back() -> None:
    launch = LaunchModel(spot_interruptions_per_hour=1)
    lifetimes = [launch.lifetime_s(1, "x86", index) for index in range(4000)]

    assert 3400 < sum(lifetimes) / len(lifetimes) < 3800
    assert LaunchModel().lifetime_s(1, "x86", 0) == INFINITY


@pytest.mark.parametrize("launch", [LaunchModel(capacity={"spark": 1}), LaunchModel(node_types={"head": {}})])
def test_a_launch_model_names_worker_types_of_its_shape_only(launch: LaunchModel) -> None:
    with pytest.raises(ValidationError, match="is not a worker type"):
        SHAPE.replace(launch=launch)
