"""The patterns of arrivals: when each task is submitted, what a pattern refuses, and its texts."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from orchestrator.model import arrivals
from orchestrator.model.workload import Workload

SPEC_PAGE = Path(__file__).parents[3] / "docs" / "spec.md"


def offsets_of(tasks: int, arrival: str, arrival_s: float, waves: int, seed: int) -> list[float]:
    workload = {"arrival": arrival, "arrival_s": arrival_s, "waves": waves}
    return arrivals.arrival_of(workload).offsets(tasks, seed)


def test_a_burst_arrives_at_once() -> None:
    assert offsets_of(3, "burst", 60.0, 3, seed=0) == [0.0, 0.0, 0.0]


def test_waves_are_equal_and_evenly_apart() -> None:
    assert offsets_of(6, "waves", 60.0, 3, seed=0) == [0.0, 0.0, 30.0, 30.0, 60.0, 60.0]


def test_waves_differ_by_one_task_at_most() -> None:
    assert offsets_of(7, "waves", 60.0, 3, seed=0) == [0.0, 0.0, 0.0, 30.0, 30.0, 60.0, 60.0]


def test_a_single_wave_is_a_burst() -> None:
    assert offsets_of(3, "waves", 60.0, 1, seed=0) == [0.0, 0.0, 0.0]


def test_there_are_never_more_waves_than_tasks() -> None:
    assert offsets_of(2, "waves", 60.0, 10, seed=0) == [0.0, 60.0]


def test_a_ramp_is_even() -> None:
    assert offsets_of(5, "ramp", 60.0, 3, seed=0) == [0.0, 15.0, 30.0, 45.0, 60.0]


def test_random_arrivals_have_the_mean_gap_that_was_asked_for() -> None:
    offsets = offsets_of(10_000, "poisson", 500.0, 3, seed=0)

    assert offsets[-1] == pytest.approx(500.0, rel=0.05)


def test_random_arrivals_come_from_the_seed() -> None:
    one, again, other = (offsets_of(10, "poisson", 60.0, 3, seed=seed) for seed in (1, 1, 2))

    assert one == again
    assert one != other


@pytest.mark.parametrize("arrival", arrivals.names())
def test_all_arrive_at_once_if_there_is_no_time(arrival: str) -> None:
    assert offsets_of(4, arrival, 0.0, 2, seed=0) == [0.0] * 4


@given(
    st.integers(1, 200),
    st.sampled_from(arrivals.names()),
    st.floats(0.001, 86_400),
    st.integers(1, 50),
    st.integers(0, 2**31),
)
def test_every_task_arrives_in_order_beginning_at_once(
    tasks: int, arrival: str, arrival_s: float, waves: int, seed: int
) -> None:
    offsets = offsets_of(tasks, arrival, arrival_s, waves, seed)

    assert len(offsets) == tasks
    assert offsets[0] == 0.0
    assert offsets == sorted(offsets)
    assert arrival == "poisson" or offsets[-1] <= arrival_s * (1 + 1e-12)


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ({"arrival": "storm"}, "choose burst, waves, ramp or poisson"),
        ({"arrival": "ramp", "arrival_parameters": {"waves": 3}}, "'waves' is not a parameter of arrival ramp"),
        ({"arrival": "ramp:speed=3"}, "'speed' is not a parameter of arrival ramp; it has none of its own"),
        ({"arrival": "ramp:speed"}, "write an arrival as NAME or NAME:PARAMETER=VALUE"),
        ({"arrival": "ramp:=3"}, "write an arrival as NAME or NAME:PARAMETER=VALUE"),
        ({"arrival": "waves:waves=0"}, "greater than or equal to 1"),
    ],
)
def test_a_pattern_that_makes_no_sense_is_refused(document: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError) as refused:
        Workload.model_validate(document)

    assert said in str(refused.value)


def test_parameters_that_a_workload_has_fields_for_may_follow_the_name() -> None:
    assert Workload.model_validate({"arrival": "waves:waves=4,arrival_s=9"}) == Workload(
        arrival="waves", waves=4, arrival_s=9
    )


def test_a_dump_has_no_parameters_where_there_are_none() -> None:
    assert "arrival_parameters" not in Workload(arrival="ramp").model_dump()


def test_the_documented_patterns_are_those_of_the_code() -> None:
    page = SPEC_PAGE.read_text()

    assert page == arrivals.documented(page), "make docs-tables"
    assert all(f"| `{name}` |" in page for name in arrivals.names())


def test_the_module_needs_nothing_but_python() -> None:
    code = "import sys, orchestrator.model.arrivals; print(sorted({name.partition('.')[0] for name in sys.modules}))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert not {"pydantic", "ray", "numpy"} & set(eval(result.stdout))
