"""Arrival patterns of the tasks of a workload: one class each, registered once.

A new pattern is a class with `@register`. Its fields are its parameters. If a workload has no field of that name, you
give the parameter as `--arrival NAME:PARAMETER=VALUE`, or as `arrival_parameters` in a spec. The help of options, the
data dictionary and `docs/spec.md` take their texts from here. This module needs only Python, because it runs on the
head of any cluster, in the stress job.
"""

import math
import random
import sys
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import Field, dataclass, field, fields
from typing import Any, ClassVar, TypeVar

from orchestrator.model.doc_table import rewrite, with_table

PARAMETERS = "arrival_parameters"
SHARED = ("arrival_s", "waves")
"""The parameters that are fields of a workload. The first patterns use them."""


def parameter(
    default: float, meaning: str, *, unit: str = "", least: float = 0.0, most: float = 86_400.0, whole: bool = False
) -> Any:
    """Return a field of a pattern: a parameter with limits, and a meaning for help and exports."""
    about = {"meaning": meaning, "unit": unit, "least": least, "most": most, "whole": whole}
    return field(default=default, metadata=about)


@dataclass(frozen=True)
class Arrival(ABC):
    """A pattern of arrivals, with its parameters as fields."""

    name: ClassVar[str]
    meaning: ClassVar[str]
    at_once: ClassVar[bool] = False
    """True if the autoscaler must see all demand at the beginning."""

    def __post_init__(self) -> None:
        for each in fields(self):
            value, about = getattr(self, each.name), each.metadata
            if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
                raise ValueError(f"{each.name} of {self.name} must be a finite number, not {value!r}")
            if about["whole"] and value != int(value):
                raise ValueError(f"{each.name} of {self.name} must be a whole number, not {value:g}")
            if not about["least"] <= value <= about["most"]:
                limits = f"from {about['least']:g} to {about['most']:g}"
                raise ValueError(f"{each.name} of {self.name} must be {limits}, not {value:g}")

    @abstractmethod
    def offsets(self, tasks: int, seed: int) -> list[float]:
        """Return the submission time of each of `tasks` tasks, in seconds after the first, ascending."""

    @property
    def span_s(self) -> float:
        """Return the approximate seconds between the first and the last task."""
        return 0.0

    def describe(self) -> str:
        """Return the pattern in a few words, such as `ramp over 60 s`."""
        over = f" over {self.span_s:g} s" if fields(self) else ""
        own = [f"{each.name}={getattr(self, each.name):g}" for each in fields(self) if each.name not in SHARED]
        return f"{self.name}{over}" + (f" ({', '.join(own)})" if own else "")


ARRIVALS: dict[str, type[Arrival]] = {}
"""All patterns by name, in the order in which help texts list them."""

Pattern = TypeVar("Pattern", bound=type[Arrival])


def register(pattern: Pattern) -> Pattern:
    """Register a pattern under its name."""
    ARRIVALS[pattern.name] = pattern
    return pattern


def _arrival_s() -> Any:
    return parameter(60.0, "over which time they arrive, unless at once", unit="s")


@register
@dataclass(frozen=True)
class Burst(Arrival):
    """A pattern that submits all tasks at once."""

    name = "burst"
    meaning = "all at once"
    at_once = True

    def offsets(self, tasks: int, seed: int) -> list[float]:
        """Return zeros."""
        return [0.0] * tasks


@register
@dataclass(frozen=True)
class Waves(Arrival):
    """A pattern of equal groups at equal intervals."""

    name = "waves"
    meaning = "in equal groups, evenly apart"

    arrival_s: float = _arrival_s()
    waves: int = parameter(3, "waves, if they arrive in waves", least=1, most=10_000, whole=True)

    @property
    def span_s(self) -> float:
        """Return the seconds from the first wave to the last."""
        return self.arrival_s

    def offsets(self, tasks: int, seed: int) -> list[float]:
        """Return the time of each wave, once per task in it."""
        waves = min(self.waves, tasks)
        step = self.arrival_s / max(1, waves - 1)
        return sorted(step * (task % waves) for task in range(tasks))


@register
@dataclass(frozen=True)
class Ramp(Arrival):
    """A pattern of single tasks at equal intervals."""

    name = "ramp"
    meaning = "one after the other, evenly spread"

    arrival_s: float = _arrival_s()

    @property
    def span_s(self) -> float:
        """Return the seconds from the first task to the last."""
        return self.arrival_s

    def offsets(self, tasks: int, seed: int) -> list[float]:
        """Return multiples of one interval."""
        return [self.arrival_s * task / max(1, tasks - 1) for task in range(tasks)]


@register
@dataclass(frozen=True)
class Poisson(Arrival):
    """A pattern of independent tasks: exponential gaps with the mean `arrival_s / tasks`, from the trial's seed."""

    name = "poisson"
    meaning = "at random, as a Poisson process"

    arrival_s: float = _arrival_s()

    @property
    def span_s(self) -> float:
        """Return the mean seconds from the first task to the last."""
        return self.arrival_s

    def offsets(self, tasks: int, seed: int) -> list[float]:
        """Return sums of exponential gaps."""
        rng = random.Random(f"arrivals:{seed}")
        offsets = [0.0]
        for _ in range(tasks - 1):
            gap = rng.expovariate(tasks / self.arrival_s if self.arrival_s > 0 else float("inf"))
            offsets.append(offsets[-1] + gap)
        return offsets


def arrival_of(workload: Mapping[str, Any]) -> Arrival:
    """Return the pattern that a workload names, with its parameters. Raises ValueError with the reason.

    `workload` is a dump of a `Workload`, as the stress job gets it, or its fields by name.
    """
    pattern = ARRIVALS.get(workload["arrival"])
    if pattern is None:
        raise ValueError(f"there is no arrival {workload['arrival']!r}; use {listed()}")
    own = dict(workload.get(PARAMETERS) or {})
    if unknown := sorted(own.keys() - own_parameters(pattern).keys()):
        has = ", ".join(own_parameters(pattern)) or "none of its own"
        raise ValueError(f"{unknown[0]!r} is not a parameter of arrival {pattern.name}; it has {has}")
    given = own | {name: workload[name] for name in SHARED if name in workload}
    return pattern(**{each.name: _number(given[each.name], each) for each in fields(pattern) if each.name in given})


def _number(value: float, about: "Field[Any]") -> float:
    return int(value) if about.metadata["whole"] and value == int(value) else value


def parse(text: str) -> tuple[str, dict[str, float]]:
    """Return the name and the parameters of `NAME` or `NAME:PARAMETER=VALUE,…`. Raises ValueError."""
    name, colon, rest = text.partition(":")
    parameters: dict[str, float] = {}
    for assignment in rest.split(",") if colon else ():
        key, _, value = assignment.partition("=")
        try:
            parameters[_word(key)] = float(value)
        except ValueError:
            raise ValueError(f"write an arrival as NAME or NAME:PARAMETER=VALUE, not {text!r}") from None
    return name.strip(), parameters


def _word(text: str) -> str:
    if not text.strip():
        raise ValueError("a name is missing")
    return text.strip()


def own_parameters(pattern: type[Arrival]) -> dict[str, "Field[Any]"]:
    """Return the parameters that only this pattern has, by name."""
    return {each.name: each for each in fields(pattern) if each.name not in SHARED}


# Texts


def names() -> tuple[str, ...]:
    """Return the names of the patterns."""
    return tuple(ARRIVALS)


def listed() -> str:
    """Return the names of the patterns as `burst, waves, ramp or poisson`."""
    *first, last = ARRIVALS
    return f"{', '.join(first)} or {last}"


def help_text() -> str:
    """Return the description of all patterns, for the help of an option."""
    return ", ".join(f"{name} ({_usage(pattern)})" for name, pattern in ARRIVALS.items())


def _usage(pattern: type[Arrival]) -> str:
    own = (f"; {name}: {each.metadata['meaning']}" for name, each in own_parameters(pattern).items())
    return f"{pattern.meaning}{''.join(own)}"


def documentation() -> str:
    """Return the patterns as a Markdown table."""
    lines = ["| `arrival` | tasks arrive | parameters |", "|---|---|---|"]
    for name, pattern in ARRIVALS.items():
        parameters = (f"`{each.name}` ({_limits(each)})" for each in fields(pattern))
        lines.append(f"| `{name}` | {pattern.meaning} | {', '.join(parameters)} |")
    return "\n".join(lines)


def _limits(each: "Field[Any]") -> str:
    about, unit = each.metadata, f" {each.metadata['unit']}" if each.metadata["unit"] else ""
    return f"{about['least']:g} to {about['most']:g}{unit}, default {each.default:g}"


def documented(page: str) -> str:
    """Return a page with the table of patterns between its two markers."""
    return with_table(page, "arrivals", documentation())


if __name__ == "__main__":
    rewrite(sys.argv[1:], documented)
