"""Two sides held against each other, setting by setting, and thresholds that may not be crossed."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from orchestrator.analysis.sweep.evidence import Contrast, Result, Sample, by_setting, contrasts, values_by_seed
from orchestrator.analysis.sweep.objective import Objective, full_name, names
from orchestrator.model.settings import Settings

_NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
_CONDITION = re.compile(rf"\s*(?P<name>\w+)\s*(?P<sign>[<>])\s*(?P<limit>{_NUMBER})\s*(?P<percent>%?)\s*")


@dataclass(frozen=True)
class Condition:
    """`makespan_s>+10%`: b's makespan is more than 10 % above a's; without `%`, more than so much in its own unit."""

    text: str
    name: str
    sign: Literal["<", ">"]
    limit: float
    relative: bool

    @classmethod
    def parse(cls, text: str) -> "Condition":
        """Raise ValueError that says what is wrong and at which column (from 1)."""
        found = _CONDITION.match(text)
        if found is None or found.end() != len(text):
            column = 1 + (_longest(text) if found is None else found.end())
            raise ValueError(f"column {column}: a condition is NAME>LIMIT or NAME<LIMIT, such as makespan_s>+10%")
        name = full_name(found["name"])
        if name not in names():
            raise ValueError(
                f"column {1 + found.start('name')}: unknown name {name!r}; use one of {', '.join(names())}"
            )
        limit, relative = float(found["limit"]), bool(found["percent"])
        sign: Literal["<", ">"] = "<" if found["sign"] == "<" else ">"
        return cls(text.strip(), name, sign, limit / 100 if relative else limit, relative)

    def breached(self, contrast: Contrast) -> bool | None:
        """Return true if all of the difference's interval lies beyond the limit; None without an interval."""
        low, high = contrast.difference.low, contrast.difference.high
        if low is None or high is None:
            return None
        limit = self.limit * abs(contrast.difference.median_a) if self.relative else self.limit
        return low > limit if self.sign == ">" else high < limit


def _longest(text: str) -> int:
    """Return how many characters of something that isn't a condition could begin one."""
    parts = (r"\s*", r"\w+", r"\s*", r"[<>]", r"\s*", _NUMBER)
    lengths = [found.end() for n in range(1, len(parts) + 1) if (found := re.match("".join(parts[:n]), text))]
    return max(lengths, default=0)


@dataclass(frozen=True)
class Side:
    """One side: a name for people, its trials, and the knobs by which they were chosen, which need not agree.

    `assumptions` are what its results rest on without the user having said so.
    """

    name: str
    results: tuple[Result, ...]
    chosen_by: frozenset[str] = frozenset()
    assumptions: tuple[str, ...] = ()

    @classmethod
    def of(
        cls, name: str, results: Iterable[Result], wanted: Mapping[str, Any], assumptions: Sequence[str] = ()
    ) -> "Side":
        """Return the trials whose settings have the wanted values. Raises ValueError if there are none."""
        every = list(results)
        found = tuple(
            result for result in every if all(getattr(result.settings, key) == value for key, value in wanted.items())
        )
        if not found:
            there = "; ".join(settings.label() for settings in by_setting(every)) or "nothing"
            raise ValueError(f"{name}: no trial has these settings; there are {there}")
        return cls(name, found, frozenset(wanted), tuple(assumptions))


@dataclass(frozen=True)
class Pair:
    """A setting of a and a setting of b, with a contrast for each quantity that both have."""

    a: Settings
    b: Settings
    contrasts: tuple[Contrast, ...]

    @property
    def name(self) -> str:
        """Both labels, or the one that they share."""
        return self.a.label() if self.a == self.b else f"{self.a.label()} | {self.b.label()}"


@dataclass(frozen=True)
class Comparison:
    """A comparison, the settings of either side that the other side lacks, and the assumptions of each side."""

    a: str
    b: str
    pairs: tuple[Pair, ...]
    unmatched: tuple[str, ...]
    assumptions_of_a: tuple[str, ...] = ()
    assumptions_of_b: tuple[str, ...] = ()

    @property
    def assumptions(self) -> list[str]:
        """Return all assumptions as sentences. Those of one side begin with its letter."""
        shared = [each for each in self.assumptions_of_a if each in self.assumptions_of_b]
        sides = ("a", self.assumptions_of_a), ("b", self.assumptions_of_b)
        return shared + [f"{side}: {each}" for side, own in sides for each in own if each not in shared]


def compare_sides(a: Side, b: Side, quantities: Sequence[str]) -> Comparison:
    """Compare settings that agree except in the knobs by which the sides were chosen, or the only two settings.

    Raises ValueError if nothing can be compared. With several pairs, p-values are adjusted (Holm).
    """
    left, right = by_setting(a.results), by_setting(b.results)
    ignored = a.chosen_by | b.chosen_by
    if len(left) == len(right) == 1:
        matched = list(zip(left, right, strict=True))
    else:
        matched = [
            (one, other) for one in left for other in right if _without(one, ignored) == _without(other, ignored)
        ]
        if len({one for one, _ in matched}) < len(matched) or len({other for _, other in matched}) < len(matched):
            raise ValueError(
                f"which is to be compared with which? {a.name} has {_labels(left)}; {b.name} has {_labels(right)}"
            )
    if not matched:
        sides = (f"{side.name} has {_labels(group)}" for side, group in ((a, left), (b, right)))
        raise ValueError(f"nothing to compare: no setting is on both sides; {'; '.join(sides)}")
    found: dict[tuple[Settings, Settings], list[Contrast]] = {pair: [] for pair in matched}
    for quantity in quantities:
        objective = Objective.parse(quantity)
        shown = {
            (one, other): samples
            for one, other in matched
            for samples in [(_sample(one, left[one], objective), _sample(other, right[other], objective))]
            if samples[0].values and samples[1].values
        }
        for pair, contrast in zip(shown, contrasts(quantity, list(shown.values())), strict=True):
            found[pair].append(contrast)
    pairs = tuple(Pair(one, other, tuple(each)) for (one, other), each in found.items())
    known = {each for pair in matched for each in pair}
    unmatched = (
        f"only in {side.name}: {settings.label()}"
        for side, group in ((a, left), (b, right))
        for settings in group
        if settings not in known
    )
    return Comparison(a.name, b.name, pairs, tuple(unmatched), a.assumptions, b.assumptions)


def _sample(settings: Settings, results: Sequence[Result], objective: Objective) -> Sample:
    return Sample(settings.label(), values_by_seed(results, objective))


def _without(settings: Settings, knobs: Iterable[str]) -> tuple[tuple[str, Any], ...]:
    return tuple(item for item in settings.model_dump().items() if item[0] not in knobs)


def _labels(group: Iterable[Settings]) -> str:
    return ", ".join(settings.label() for settings in group)
