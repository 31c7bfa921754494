"""Step functions of time, exact: no sampling."""

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby

# Sums of fractions of CPUs: 0.1 + 0.2 - 0.3 is a level of 0.
_DIGITS = 9


@dataclass(frozen=True)
class StepFunction:
    """A right-continuous step function: `values[i]` holds from `times[i]` on, `before` holds earlier."""

    times: tuple[float, ...]
    values: tuple[float, ...]
    before: float = 0.0

    @classmethod
    def from_changes(cls, changes: Iterable[tuple[float, float]]) -> "StepFunction":
        """From (time, change) pairs in any order, starting at 0; changes at one time are one step."""
        times, values, level = [], [], 0.0
        for t, group in groupby(sorted(changes), key=lambda change: change[0]):
            level = round(level + sum(change for _, change in group), _DIGITS)
            times.append(t)
            values.append(level)
        return cls(tuple(times), tuple(values))

    def walk(self) -> Callable[[float], float]:
        """Return a function that gives the value at a time, to be called with times that never decrease."""
        position, level = 0, self.before

        def value(t: float) -> float:
            nonlocal position, level
            while position < len(self.times) and self.times[position] <= t:
                level = self.values[position]
                position += 1
            return level

        return value

    def integral(self, start: float, end: float) -> float:
        """∫ from `start` to `end`; 0 if `end` isn't later."""
        if end <= start:
            return 0.0
        total, level, at = 0.0, self.before, start
        for t, value in zip(self.times, self.values, strict=True):
            if t >= end:
                break
            if t > at:
                total, at = total + level * (t - at), t
            level = value
        return total + level * (end - at)

    def maximum(self, start: float, end: float) -> tuple[float, float]:
        """Return the highest value in [start, end], and the first time it is reached there."""
        level = self.before
        for t, value in zip(self.times, self.values, strict=True):
            if t > start:
                break
            level = value
        best, when = level, start
        for t, value in zip(self.times, self.values, strict=True):
            if start < t <= end and value > best:
                best, when = value, t
        return best, when

    def highest_of(self, end: float, parts: int) -> list[float]:
        """Return the highest value in each of `parts` equal parts of [0, end], in one walk over the steps."""
        found = [-math.inf] * parts
        level, part = self.before, 0
        for t, value in zip((*self.times, end), (*self.values, 0.0), strict=True):
            reached = min(parts - 1, int(t / end * parts)) if t > 0 else 0
            for each in range(part, reached + 1):
                found[each] = max(found[each], level)
            part = max(part, reached)
            if t >= end:
                break
            level = value
            if t <= 0:
                found[0] = -math.inf
        return found

    def settles_at_most(self, limit: float, start: float, end: float) -> float | None:
        """Return the first time from `start` on after which the value stays ≤ `limit` until `end`, or None."""
        level = self.before
        settled: float | None = start
        for t, value in zip(self.times, self.values, strict=True):
            if t >= end:
                break
            if value > limit:
                settled = None
            elif level > limit or settled is None:
                settled = max(t, start)
            level = value
        return settled if level <= limit else None


def covered(intervals: Iterable[tuple[float, float]]) -> float:
    """Return the length of the union of intervals."""
    total, reach = 0.0, float("-inf")
    for start, end in sorted(intervals):
        if end > reach:
            total += end - max(start, reach)
            reach = end
    return total


def pieces(
    demand: StepFunction, supply: StepFunction, start: float, end: float, cap: float
) -> Iterator[tuple[float, float, float, float]]:
    """Yield (begin, until, demand up to `cap`, supply) for each stretch of [start, end] on which neither changes."""
    times = sorted({t for steps in (demand, supply) for t in steps.times if start < t < end})
    d, s = demand.walk(), supply.walk()
    for begin, until in zip([start, *times], [*times, end], strict=True):
        yield begin, until, min(d(begin), cap), s(begin)
