"""A check answers whatever happens: it can't hang, and it can't break the others."""

import threading

import pytest

from orchestrator.doctor.checks import Check, can_sweep, examine
from orchestrator.errors import MissingPrerequisite
from orchestrator.readiness import Finding, Question, State


def asked(*questions: Question, time_limit_s: float = 5.0) -> list[Check]:
    return list(examine(questions, time_limit_s=time_limit_s))


def test_answers_come_in_the_order_of_the_questions() -> None:
    checks = asked(
        Question("one", ("sweep",), lambda: Finding("ok", "fine")),
        Question("two", (), lambda: Finding("warning", "so so", "mend\nit")),
    )

    assert checks == [Check("one", "ok", "fine", "", ("sweep",)), Check("two", "warning", "so so", "mend it", ())]


def test_what_is_missing_is_said_as_a_command_would() -> None:
    def look() -> Finding:
        raise MissingPrerequisite("no engine", "install one")

    assert asked(Question("engine", ("docker",), look)) == [
        Check("engine", "missing", "no engine", "install one", ("docker",))
    ]


def test_a_surprise_is_a_warning_and_the_others_are_asked() -> None:
    def look() -> Finding:
        raise ZeroDivisionError("by zero")

    checks = asked(Question("one", (), look), Question("two", (), lambda: Finding("ok", "")))

    assert [check.state for check in checks] == ["warning", "ok"]
    assert checks[0].detail == "it can't be told: ZeroDivisionError: by zero"


def test_a_check_that_hangs_is_left_alone() -> None:
    answer = threading.Event()

    def look() -> Finding:
        answer.wait()
        return Finding("ok", "")

    checks = asked(Question("slow", (), look), Question("two", (), lambda: Finding("ok", "")), time_limit_s=0.02)
    answer.set()

    assert [(check.state, check.detail) for check in checks] == [("warning", "no answer within 0.02 s"), ("ok", "")]


@pytest.mark.parametrize(
    ("state", "needed_by", "expected"),
    [
        ("ok", ("sweep",), True),
        ("warning", ("sweep",), True),
        ("missing", ("sweep", "docker"), False),
        ("missing", ("docker", "stack"), True),
    ],
)
def test_only_what_a_local_sweep_needs_can_prevent_one(
    state: State, needed_by: tuple[str, ...], expected: bool
) -> None:
    assert can_sweep([Check("x", state, "", "", needed_by)]) is expected
