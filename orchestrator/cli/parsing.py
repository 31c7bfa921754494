"""Reads values as they are typed: `1,5,10`, `key=a,b`."""

import math
from collections.abc import Callable, Iterable
from datetime import datetime, time
from typing import Any

from pydantic import ValidationError

from orchestrator.errors import InputError
from orchestrator.lab.workload_from import WorkloadFrom
from orchestrator.model.fault import Fault
from orchestrator.model.settings import settings, type_of
from orchestrator.model.task_needs import shape_of
from orchestrator.replay.history import Edits


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


def parse_workload_from(
    source: str | None, scale: float | None, between: str | None, only_shape: str | None
) -> WorkloadFrom | None:
    """Return a recorded workload with its edits; None without one. Raises InputError."""
    given = {"--scale-load": scale, "--between": between, "--only-shape": only_shape}
    if source is None:
        if wrong := [option for option, value in given.items() if value is not None]:
            raise InputError(f"{wrong[0]} is for --workload-from", "name a recorded trial or an observation with it")
        return None
    if scale is not None and not 0 < scale <= 1000:
        raise InputError(f"--scale-load: {scale:g} isn't a factor", "a number above 0 and up to 1000, such as 2")
    return WorkloadFrom(
        source,
        Edits(
            scale=1.0 if scale is None else scale,
            between=None if between is None else _times_of_day(between),
            only_shape=None if only_shape is None else _shape(only_shape),
        ),
    )


def _times_of_day(text: str) -> tuple[time, time]:
    try:
        begin, end = (datetime.strptime(part.strip(), "%H:%M").time() for part in text.split(","))
    except ValueError:
        raise InputError(f"--between: {text!r} isn't two times of day", "for example --between 09:00,17:00") from None
    if begin == end:
        raise InputError(f"--between: {text!r} is no time at all", "for example --between 09:00,17:00")
    return begin, end


def _shape(text: str) -> str:
    """Return a shape as traces name it: sorted, with the shortest numbers."""
    try:
        pairs = [part.partition("=") for part in text.split(",")]
        amounts = {name.strip(): float(amount) for name, _, amount in pairs}
    except ValueError:
        # not logged: the error below names the text.
        amounts = {}
    if not amounts or not all(name and 0 < amount < float("inf") for name, amount in amounts.items()):
        raise InputError(f"--only-shape: {text!r} isn't a shape", "for example --only-shape CPU=4 or CPU=1,GPU=1")
    return shape_of(amounts)
