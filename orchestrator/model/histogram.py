"""A histogram of seconds that counts many equal values at once, which prometheus-client's own class can't."""

from bisect import bisect_left
from collections.abc import Sequence
from itertools import accumulate


class Histogram:
    """Counts of durations by upper bound, in seconds."""

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = tuple(bounds)
        self.total_s = 0.0
        self._counts = [0] * (len(self.bounds) + 1)

    def observe(self, seconds: float, count: int = 1) -> None:
        """Count a duration several times. A negative duration counts as 0."""
        seconds = max(0.0, seconds)
        self._counts[bisect_left(self.bounds, seconds)] += count
        self.total_s += seconds * count

    def cumulative(self) -> list[tuple[float, int]]:
        """Return the number of durations up to each bound, and up to infinity."""
        return list(zip((*self.bounds, float("inf")), accumulate(self._counts), strict=True))
