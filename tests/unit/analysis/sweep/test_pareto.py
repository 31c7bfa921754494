from hypothesis import given
from hypothesis import strategies as st

from orchestrator.analysis.sweep.pareto import pareto_front

Point = tuple[float, float]
points = st.lists(st.tuples(st.integers(0, 9).map(float), st.integers(0, 9).map(float)), max_size=20)


def dominates(one: Point, other: Point) -> bool:
    return one != other and one[0] <= other[0] and one[1] <= other[1]


@given(points)
def test_the_front_is_exactly_what_nothing_dominates(cloud: list[Point]) -> None:
    front = pareto_front((point, point) for point in cloud)

    assert set(front) == {point for point in cloud if not any(dominates(other, point) for other in cloud)}
    assert len(front) == len(set(front))
    assert front == sorted(front)


def test_of_equals_the_first_stays() -> None:
    assert pareto_front([("a", (1.0, 1.0)), ("b", (1.0, 1.0))]) == ["a"]
