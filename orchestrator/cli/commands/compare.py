"""`orchestrate compare`: two sides held against each other, and an exit code for CI."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from orchestrator.cli.completion import complete_sweep_or_trial
from orchestrator.cli.console import check_json_target, console, write_json
from orchestrator.cli.help import option
from orchestrator.cli.options import JsonFile
from orchestrator.cli.parsing import parse_set
from orchestrator.errors import BREACHED, UNDECIDED, InputError
from orchestrator.lab.compare import find_side
from orchestrator.lab.home import Home

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orchestrator.analysis.sweep.comparison import Condition, Side
    from orchestrator.report.terminal.comparison import Check

EXAMPLES = """Examples:

  orchestrate compare 3f2a90c1 @last

  orchestrate compare @last:autoscaler=v1 @last:autoscaler=v2

  orchestrate compare @last:upscaling_speed=1 @last:upscaling_speed=10 --quantity makespan_s,cost_usd

  orchestrate compare 3f2a90c1 @last --fail-if 'makespan_s>+10%' --fail-if 'cost_usd>+0.05' --junit compare.xml
"""

_SIDE = "A sweep or trial, as in show; SWEEP:KEY=VALUE,KEY=VALUE takes the settings that have these values."


class Undecided(StrEnum):
    """Choices for a condition that too few valid trials leave undecided."""

    ERROR = "error"
    PASS = "pass"
    FAIL = "fail"


def compare(
    context: typer.Context,
    a: Annotated[str, typer.Argument(metavar="A", help=_SIDE, autocompletion=complete_sweep_or_trial)],
    b: Annotated[
        str,
        typer.Argument(
            metavar="B",
            help="Same syntax as A. Results are reported as B relative to A.",
            autocompletion=complete_sweep_or_trial,
        ),
    ],
    quantity: Annotated[
        str | None, option(help="What to compare, such as makespan_s,cost_usd.  [default: the main ones]")
    ] = None,
    fail_if: Annotated[
        list[str] | None,
        option(
            metavar="NAME>LIMIT[%]",
            help="End with exit code 4 if all of the difference's interval lies beyond the limit, and with 5 if too few"
            " trials are valid to decide; may be repeated.",
        ),
    ] = None,
    undecided: Annotated[
        Undecided,
        option(
            help="For a condition that too few valid trials leave undecided: end with exit code 5 (error), count it as"
            " passed, or as breached."
        ),
    ] = Undecided.ERROR,
    junit: Annotated[Path | None, option(metavar="FILE", help="Write JUnit XML too.")] = None,
    json_file: JsonFile = None,
) -> int:
    """Compare settings, trials or sweeps, with intervals and permutation tests: is the difference real?"""
    from orchestrator.analysis.sweep.comparison import compare_sides
    from orchestrator.report.terminal.comparison import checks, comparison_document, comparison_tables, write_junit

    if json_file is not None:
        check_json_target(json_file)
    conditions = [_condition(text) for text in fail_if or ()]
    wanted = _quantities(quantity, conditions)
    sides = _side(context.obj, a), _side(context.obj, b)
    try:
        comparison = compare_sides(*sides, wanted)
    except ValueError as error:
        raise InputError(str(error), "choose settings with SWEEP:KEY=VALUE") from None
    checked = checks(comparison, conditions)
    console(stderr=json_file == "-").print(comparison_tables(comparison, checked))
    if json_file is not None:
        write_json(json_file, comparison_document(comparison, checked))
    if junit is not None:
        try:
            write_junit(junit, comparison, checked, undecided.value)
        except OSError as error:
            raise InputError(f"--junit: {junit} can't be written: {error.strerror}") from None
    return _exit_code(checked, undecided)


def _exit_code(checked: "Sequence[Check]", undecided: Undecided) -> int:
    found = {check.breached for check in checked}
    if True in found or (None in found and undecided is Undecided.FAIL):
        return BREACHED
    return UNDECIDED if None in found and undecided is Undecided.ERROR else 0


def _condition(text: str) -> "Condition":
    from orchestrator.analysis.sweep.comparison import Condition

    try:
        return Condition.parse(text)
    except ValueError as error:
        raise InputError(f"--fail-if {text!r}: {error}") from None


def _quantities(text: str | None, conditions: "list[Condition]") -> list[str]:
    from orchestrator.analysis.sweep.evidence import main_quantities
    from orchestrator.analysis.sweep.objective import Objective

    chosen = [part.strip() for part in text.split(",")] if text is not None else main_quantities()
    for name in chosen:
        try:
            Objective.parse(name)
        except ValueError as error:
            raise InputError(f"--quantity {name!r}: {error}") from None
    return list(dict.fromkeys([*chosen, *(condition.name for condition in conditions)]))


def _side(home: Home, text: str) -> "Side":
    wanted, _, settings = text.partition(":")
    return find_side(home, wanted, _settings(settings), f":{settings}" if settings else "")


def _settings(text: str) -> dict[str, Any]:
    values = parse_set(text.split(",") if text else (), "after the colon")
    return {key: each[0] for key, each in values.items()}
