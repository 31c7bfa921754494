"""Reads values as they are typed: `1,5,10`, `key=a,b`."""

import math
from collections.abc import Callable, Iterable
from typing import Any

from pydantic import ValidationError

from orchestrator.errors import InputError
from orchestrator.model.fault import Fault
from orchestrator.model.settings import settings, type_of


def parse_list(option: str, text: str | None, convert: Callable[[str], Any] = str) -> list[Any] | None:
    """Return the values of a comma-separated list, None if the option wasn't given. Raises InputError."""
    if text is None:
        return None
    values = []
    for part in text.split(","):
        if not part.strip():
            raise InputError(f"{option}: an empty value in {text!r}", f"for example {option} 1,5,10")
        try:
            value = convert(part.strip())
        except ValueError:
            kind = {float: "number", int: "whole number"}.get(convert, "value")  # type: ignore[call-overload]
            raise InputError(f"{option}: {part.strip()!r} is no {kind}") from None
        if isinstance(value, float) and not math.isfinite(value):
            raise InputError(f"{option}: {part.strip()!r} is no finite number")
        values.append(value)
    return values


def parse_set(assignments: Iterable[str], option: str = "--set") -> dict[str, list[Any]]:
    """`key=a,b` for any knob of the settings. Raises InputError that names the knobs there are."""
    axes: dict[str, list[Any]] = {}
    for assignment in assignments:
        key, equals, text = assignment.partition("=")
        key = key.strip().replace("-", "_")
        if not equals:
            raise InputError(f"{option}: {assignment!r} isn't of the form key=value")
        if key not in settings():
            raise InputError(f"{option}: unknown setting {key!r}", f"there are {', '.join(settings())}")
        axes.setdefault(key, []).extend(parse_list(f"{option} {key}", text, type_of(key)) or [])
    return axes


def parse_pairs(option: str, assignments: Iterable[str], convert: Callable[[str], Any] = str) -> dict[str, Any]:
    """`KEY=VALUE` options as a mapping. Raises InputError."""
    pairs = {}
    for assignment in assignments:
        key, equals, text = assignment.partition("=")
        if not equals or not key.strip():
            raise InputError(f"{option}: {assignment!r} isn't of the form KEY=VALUE")
        values = parse_list(option, text, convert) or []
        if len(values) != 1:
            raise InputError(f"{option}: {assignment!r} gives several values; one is needed")
        pairs[key.strip()] = values[0]
    return pairs


def parse_faults(texts: Iterable[str]) -> list[Fault] | None:
    """Return the faults of `--fault` options, None if there is none. Raises InputError."""
    from orchestrator.inputs.problems import first_problem

    faults, hint = [], "for example --fault kill@20 or --fault pause@30+15:NODE_TYPE"
    for text in texts:
        try:
            faults.append(Fault.model_validate(text))
        except ValidationError as error:
            problem = first_problem(error)
            told = f"{problem.key}: {problem.message}" if problem.key else problem.reason
            raise InputError(f"--fault {text!r}: {told}", hint) from None
    return faults or None


def parse_duration(option: str, text: str | None) -> float | None:
    """Return seconds from `90`, `90s`, `15m` or `2h`. Raises InputError."""
    if text is None:
        return None
    units = {"s": 1.0, "m": 60.0, "h": 3600.0}
    number, unit = (text[:-1], units[text[-1]]) if text[-1:] in units else (text, 1.0)
    try:
        seconds = float(number) * unit
    except ValueError:
        # not logged: refused with the option's name below.
        seconds = math.nan
    if not (math.isfinite(seconds) and seconds > 0):
        raise InputError(f"{option}: {text!r} is not a duration", f"for example {option} 90s, 15m or 2h")
    return seconds
