"""Faults on purpose: what may be written, and that what is written is what is read."""

import statistics
from typing import Any, get_args

import pytest
from hypothesis import given
from pydantic import ValidationError

from orchestrator.model.fault import ALL_FAULTS, FATAL, Fault, FaultKind, impossible
from tests.support.strategies import NOT_A_NUMBER, NOT_FINITE, faults


def fault(text: str) -> Fault:
    return Fault.model_validate(text)


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        ("kill@20", {"kind": "kill", "at_s": 20}),
        ("pause@30+15", {"kind": "pause", "at_s": 30, "for_s": 15}),
        ("partition@0.5", {"kind": "partition", "at_s": 0.5}),
        (
            "partition@30+10:x86_worker_node",
            {"kind": "partition", "at_s": 30, "for_s": 10, "node_type": "x86_worker_node"},
        ),
        ("spot@12/h", {"kind": "spot", "per_hour": 12}),
        ("spot@0.25/h:a type: b", {"kind": "spot", "per_hour": 0.25, "node_type": "a type: b"}),
    ],
)
def test_a_fault_is_a_text_or_its_keys(text: str, keys: dict[str, Any]) -> None:
    assert Fault.model_validate(keys) == fault(text)
    assert text == str(Fault.model_validate(keys))


@given(faults())
def test_a_fault_is_written_as_the_text_from_which_it_is_read(one: Fault) -> None:
    assert one == fault(str(one))
    assert one == Fault.model_validate_json(one.model_dump_json())


def test_numbers_that_are_equal_are_the_same_text() -> None:
    assert str(fault("kill@20.0")) == str(fault(" kill@2e1 ")) == "kill@20"


@pytest.mark.parametrize(
    "text", ["", "kill", "kill@", "@20", "kill@20@30", "kill 20", "pause@1+2+3", "kill@20:", "spot@1/d"]
)
def test_what_is_no_fault_is_told_how_one_is_written(text: str) -> None:
    with pytest.raises(ValidationError, match="kill@20, pause@30"):
        fault(text)


@pytest.mark.parametrize(
    ("keys", "problem"),
    [
        ({"kind": "kill"}, "has a time and no rate"),
        ({"kind": "kill", "at_s": 1, "per_hour": 1}, "has a time and no rate"),
        ({"kind": "kill", "at_s": 1, "for_s": 1}, "has no duration"),
        ({"kind": "spot"}, "have a rate"),
        ({"kind": "spot", "per_hour": 1, "at_s": 1}, "have a rate"),
        ({"kind": "spot", "per_hour": 1, "for_s": 1}, "have a rate"),
        ({"kind": "flood", "at_s": 1}, "kind"),
        ({"kind": "kill", "at": 1}, "at"),
        ({"kind": "kill", "at_s": 1, "node_type": ""}, "node_type"),
    ],
)
def test_what_does_not_go_together_is_refused(keys: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValidationError, match=problem):
        Fault.model_validate(keys)


@pytest.mark.parametrize("value", [*NOT_FINITE, -0.001, 1e300, 86_401, True, *NOT_A_NUMBER])
def test_a_time_is_a_number_of_seconds_of_one_day(value: Any) -> None:
    with pytest.raises(ValidationError, match="at_s"):
        Fault.model_validate({"kind": "kill", "at_s": value})


@pytest.mark.parametrize(("key", "kind"), [("for_s", "pause"), ("per_hour", "spot")])
@pytest.mark.parametrize("value", [*NOT_FINITE, 0, -1, 1e300, True, *NOT_A_NUMBER])
def test_a_duration_and_a_rate_are_positive_and_sensible(key: str, kind: str, value: Any) -> None:
    with pytest.raises(ValidationError, match=key):
        Fault.model_validate({"kind": kind, "at_s": None if kind == "spot" else 1, key: value})


def test_a_fault_without_a_node_type_hits_all_of_them() -> None:
    assert (True, True, False) == (
        fault("kill@1").hits("x86"),
        fault("kill@1:x86").hits("x86"),
        fault("kill@1:x86").hits("arm"),
    )


def test_only_what_can_be_undone_lasts() -> None:
    assert {"pause", "partition"} == {
        text.partition("@")[0] for text in ("kill@1", "pause@1", "partition@1", "spot@1/h") if fault(text).lasts
    }


def test_spot_interruptions_come_at_their_rate() -> None:
    lifetimes = [fault("spot@12/h").lifetime_s(0, 0, "x86", index) for index in range(4000)]

    assert 300 == pytest.approx(statistics.fmean(lifetimes), rel=0.05)
    assert 300 == pytest.approx(statistics.stdev(lifetimes), rel=0.1)  # as of an exponential distribution


def test_each_node_has_its_own_luck_and_the_same_one_again() -> None:
    def lifetime(seed: int = 0, number: int = 0, node_type: str = "x86", index: int = 0) -> float:
        return fault("spot@12/h").lifetime_s(seed, number, node_type, index)

    different = {lifetime(), lifetime(seed=1), lifetime(number=1), lifetime(node_type="arm"), lifetime(index=1)}

    assert 5 == len(different)
    assert lifetime() in different


def test_faults_that_a_backend_lacks_are_found() -> None:
    every = [fault(text) for text in ("kill@1", "pause@1", "partition@1", "spot@1/h")]

    assert set(get_args(FaultKind)) == ALL_FAULTS
    assert [] == impossible(every, ALL_FAULTS)
    assert every == impossible(every, ())
    assert every[1:3] == impossible(every, FATAL)


def test_a_rate_so_low_that_nobody_would_wait_for_it_is_refused() -> None:
    with pytest.raises(ValidationError, match="per_hour"):
        fault("spot@5e-324/h")
