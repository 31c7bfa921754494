"""The Pareto front: what nothing else beats in every respect."""

from collections.abc import Iterable
from typing import TypeVar

T = TypeVar("T")


def pareto_front(points: Iterable[tuple[T, tuple[float, float]]]) -> list[T]:
    """Of (item, (x, y)) those with no other that is as low in both and lower in one, by ascending x.

    Of several at one point the first in order stays.
    """
    front: list[T] = []
    lowest = float("inf")
    for item, (_, y) in sorted(points, key=lambda point: point[1]):
        if y < lowest:
            front.append(item)
            lowest = y
    return front
