"""The first problem of pydantic becomes a key and a sentence for people."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import Field, ValidationError, field_validator

from orchestrator.inputs.problems import Problem, first_problem
from orchestrator.model.base import FrozenModel


class Part(FrozenModel):
    """An inner model."""

    count: int = 0


class Whole(FrozenModel):
    """A model with all kinds of problems."""

    name: str = ""
    speeds: list[float] = Field(default_factory=list)
    part: Part = Part()

    @field_validator("name")
    @classmethod
    def _is_not_x(cls, name: str) -> str:
        if name == "x":
            raise ValueError("X is taken")
        return name


def problem(values: dict[str, Any]) -> Problem:
    with pytest.raises(ValidationError) as raised:
        Whole.model_validate(values)
    return first_problem(raised.value)


@pytest.mark.parametrize(
    ("values", "key", "message"),
    [
        ({"names": "a"}, "names", "unknown key"),
        ({"part": {"counts": 1}}, "part.counts", "unknown key"),
        ({"part": 3}, "part", "expected keys and values, not 3"),
        ({"name": "x"}, "name", "X is taken, not 'x'"),
        ({"part": {"count": "many"}}, "part.count", "input should be a valid integer, unable to parse"),
        ({"speeds": [1, "fast"]}, "speeds", "input should be a valid number, unable to parse string as a number, not "),
        ({"name": ["secret"]}, "name", "input should be a valid string"),
    ],
)
def test_a_problem_names_the_key_and_what_is_wrong(values: dict[str, Any], key: str, message: str) -> None:
    found = problem(values)

    assert found.key == key
    assert found.message.startswith(message)


def test_a_list_is_not_shown() -> None:
    assert "secret" not in problem({"name": ["secret"]}).message


def test_a_long_value_is_cut() -> None:
    assert len(problem({"part": {"count": "m" * 1000}}).message) < 200


def test_the_error_for_a_file_names_the_whole_path_and_the_hint() -> None:
    refused = problem({"speeds": [1, "fast"]}).in_file(Path("my.yaml"), "upper", hint="write numbers")

    assert refused.message.startswith("my.yaml: upper.speeds.1: input should be a valid number")
    assert refused.message.endswith(", not 'fast'")
    assert refused.hint == "write numbers"
