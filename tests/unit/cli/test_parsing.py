"""Values as they are typed: read, or refused with the option's name."""

import math
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.cli.parsing import parse_duration, parse_faults, parse_list, parse_pairs, parse_set
from orchestrator.errors import InputError
from orchestrator.model.spec import Axes


def refusal(read: Callable[[], Any]) -> InputError:
    with pytest.raises(InputError) as refused:
        read()

    assert refused.value.exit_code == 2
    assert len(refused.value.message.splitlines()) == 1
    return refused.value


def read_or_refusal(read: Callable[[], Any]) -> Any:
    """What is read, or the message with which it is refused; any other error is a failure."""
    try:
        return read()
    except InputError as refused:
        return refused.message


# Lists


@pytest.mark.parametrize(
    ("text", "values"),
    [("5", [5.0]), ("1,5,10", [1.0, 5.0, 10.0]), (" 1 , 5 ", [1.0, 5.0]), ("1e3,.5,-2", [1000.0, 0.5, -2.0])],
)
def test_a_list_of_numbers_is_read(text: str, values: list[float]) -> None:
    assert parse_list("--upscaling-speed", text, float) == values


def test_a_list_of_words_is_read() -> None:
    assert parse_list("--autoscaler", "v1, v2") == ["v1", "v2"]


def test_an_option_that_was_not_given_has_no_list() -> None:
    assert parse_list("--upscaling-speed", None, float) is None


@pytest.mark.parametrize("text", ["", " ", ",", "1,,5", "1,", ",1", "1, ,5"])
@pytest.mark.parametrize("convert", [float, int, str])
def test_an_empty_value_is_refused_with_an_example(text: str, convert: Callable[[str], Any]) -> None:
    error = refusal(lambda: parse_list("--upscaling-speed", text, convert))

    assert error.message == f"--upscaling-speed: an empty value in {text!r}"
    assert error.hint == "for example --upscaling-speed 1,5,10"


@pytest.mark.parametrize("text", ["abc", "1,abc", "1;5", "1 5", "1.2.3", "0x10", "1,5h"])
def test_what_is_no_number_is_refused_by_name(text: str) -> None:
    error = refusal(lambda: parse_list("--upscaling-speed", text, float))

    assert error.message.startswith("--upscaling-speed: ")
    assert error.message.endswith(f"{text.split(',')[-1]!r} is no number")


@pytest.mark.parametrize("text", ["nan", "1,NaN", "inf", "-inf", "Infinity", "1e400"])
def test_what_is_not_finite_is_refused(text: str) -> None:
    error = refusal(lambda: parse_list("--upscaling-speed", text, float))

    assert error.message == f"--upscaling-speed: {text.split(',')[-1]!r} is no finite number"


@pytest.mark.parametrize("text", ["1.5", "abc", "nan", "inf", "1e3"])
def test_what_is_no_whole_number_is_refused(text: str) -> None:
    assert refusal(lambda: parse_list("--set max_workers", text, int)).message.endswith("is no whole number")


@given(st.text(max_size=20))
def test_any_text_is_read_or_refused(text: str) -> None:
    read = read_or_refusal(lambda: parse_list("--upscaling-speed", text, float))

    assert read.startswith("--upscaling-speed: ") if isinstance(read, str) else all(map(math.isfinite, read))


# --set


def test_any_knob_can_be_set() -> None:
    assert parse_set(["max_concurrent_launches=1,10", "upscaling_speed=0.5", "autoscaler=v1"]) == {
        "max_concurrent_launches": [1, 10],
        "upscaling_speed": [0.5],
        "autoscaler": ["v1"],
    }


def test_every_knob_of_a_spec_can_be_set() -> None:
    assert parse_set([f"{name}=1" for name in Axes.model_fields]).keys() == Axes.model_fields.keys()


def test_a_knob_may_be_written_like_an_option() -> None:
    assert parse_set(["max-workers=3", " min_workers =1"]) == {"max_workers": [3], "min_workers": [1]}


def test_nothing_set_is_nothing() -> None:
    assert parse_set([]) == {}


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("max_workers", "--set: 'max_workers' isn't of the form key=value"),
        ("", "--set: '' isn't of the form key=value"),
        ("max_worker=1", "--set: unknown setting 'max_worker'"),
        ("=1", "--set: unknown setting ''"),
        ("max_workers=", "--set max_workers: an empty value in ''"),
        ("max_workers=1,,2", "--set max_workers: an empty value in '1,,2'"),
        ("max_workers=few", "--set max_workers: 'few' is no whole number"),
        ("max_workers=1.5", "--set max_workers: '1.5' is no whole number"),
        ("upscaling_speed=nan", "--set upscaling_speed: 'nan' is no finite number"),
        ("max_workers=1=2", "--set max_workers: '1=2' is no whole number"),
    ],
)
def test_a_wrong_assignment_is_refused_by_name(assignment: str, message: str) -> None:
    assert refusal(lambda: parse_set([assignment])).message == message


def test_an_unknown_knob_is_refused_with_those_there_are() -> None:
    error = refusal(lambda: parse_set(["speed=1"]))

    assert error.hint is not None
    assert all(name in error.hint for name in Axes.model_fields)


# Pairs


def test_pairs_are_a_mapping() -> None:
    assert parse_pairs("--task-resources", ["Graviton=0.1", " Intel = 2 "], float) == {"Graviton": 0.1, "Intel": 2.0}


@pytest.mark.parametrize("assignment", ["Graviton", "=1", " =1", ""])
def test_what_is_no_pair_is_refused(assignment: str) -> None:
    error = refusal(lambda: parse_pairs("--task-resources", [assignment], float))

    assert error.message == f"--task-resources: {assignment!r} isn't of the form KEY=VALUE"


@pytest.mark.parametrize("value", ["", "much", "nan"])
def test_a_pair_with_a_wrong_value_is_refused(value: str) -> None:
    assert refusal(lambda: parse_pairs("--task-resources", [f"Graviton={value}"], float)).message.startswith(
        "--task-resources: "
    )


def test_a_pair_with_several_values_is_refused() -> None:
    assert refusal(lambda: parse_pairs("--task-resources", ["Graviton=1,2"], float)).message.startswith(
        "--task-resources: "
    )


# Durations


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90.0), ("90s", 90.0), ("15m", 900.0), ("2h", 7200.0), ("1.5h", 5400.0), ("0.5", 0.5)]
)
def test_a_duration_is_read_in_seconds(text: str, seconds: float) -> None:
    assert parse_duration("--timeout", text) == seconds


def test_a_duration_that_was_not_given_is_none() -> None:
    assert parse_duration("--timeout", None) is None


@pytest.mark.parametrize(
    "text", ["", "s", "m", "soon", "-5", "-5m", "0", "0h", "nan", "nans", "inf", "infm", "1e400", "5d", "1:30", "5 min"]
)
def test_what_is_no_duration_is_refused_with_examples(text: str) -> None:
    error = refusal(lambda: parse_duration("--timeout", text))

    assert error.message == f"--timeout: {text!r} is not a duration"
    assert error.hint == "for example --timeout 90s, 15m or 2h"


@given(st.text(max_size=10))
def test_any_text_is_a_duration_or_refused(text: str) -> None:
    read = read_or_refusal(lambda: parse_duration("--timeout", text))

    assert read.startswith("--timeout: ") if isinstance(read, str) else 0 < read < math.inf


# Faults


def test_faults_are_read_in_their_order() -> None:
    found = parse_faults(["spot@12/h", "kill@20:x86"]) or []

    assert [str(fault) for fault in found] == ["spot@12/h", "kill@20:x86"]


def test_no_fault_changes_nothing() -> None:
    assert parse_faults([]) is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("kill", "write a fault as kill@20"),
        ("explode@20", "kind: input should be 'kill'"),
        ("kill@soon", "at_s: input should be a valid number"),
        ("kill@20+5", "a kill has no duration"),
        ("spot@20", "spot interruptions have a rate"),
        ("pause@20/h", "a pause has a time and no rate"),
    ],
)
def test_a_fault_that_is_none_is_named_with_its_option(text: str, said: str) -> None:
    refused = refusal(lambda: parse_faults([text]))

    assert refused.message.startswith(f"--fault {text!r}: {said}")
    assert "--fault kill@20" in (refused.hint or "")


@given(st.text())
def test_any_text_is_a_fault_or_refused(text: str) -> None:
    found = read_or_refusal(lambda: parse_faults([text]))

    assert isinstance(found, list | str)
