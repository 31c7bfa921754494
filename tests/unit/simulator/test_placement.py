"""Ray's hybrid policy: which node gets a task."""

import random
from collections import Counter
from dataclasses import dataclass, field

import pytest

from orchestrator.simulator.placement import best_node


@dataclass(frozen=True)
class Node:
    number: int
    used: int = 0
    gpus: int = 0
    is_head: bool = False
    total: dict[str, int] = field(default_factory=dict)
    free: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.total.update({"CPU": 8, **({"GPU": self.gpus} if self.gpus else {})})
        self.free.update({**self.total, "CPU": 8 - self.used})


def chosen(*nodes: Node, wants_gpu: bool = False, nodes_in_all: int = 2, seed: int = 0) -> int:
    return best_node(nodes, wants_gpu=wants_gpu, nodes_in_all=nodes_in_all, rng=random.Random(seed)).number


@pytest.mark.parametrize(
    ("used", "number"),
    [((0, 0), 1), ((3, 0), 1), ((4, 0), 2), ((4, 4), 1), ((6, 5), 2)],
)
def test_tasks_are_packed_until_half_is_used_and_spread_from_then_on(used: tuple[int, int], number: int) -> None:
    assert chosen(Node(1, used[0]), Node(2, used[1])) == number


def test_the_head_is_preferred_where_it_is_as_good_as_the_best() -> None:
    assert chosen(Node(1), Node(2, is_head=True)) == 2
    assert chosen(Node(1), Node(2, used=5, is_head=True)) == 1


def test_a_task_without_gpus_takes_a_gpu_node_only_where_no_other_has_room() -> None:
    gpu = Node(1, gpus=1)

    assert chosen(gpu, Node(2, used=7)) == 2
    assert chosen(gpu) == 1
    assert chosen(gpu, Node(2, used=7), wants_gpu=True) == 1


def test_chance_decides_among_a_fifth_of_the_nodes() -> None:
    nodes = [Node(number) for number in range(10)]
    taken = Counter(chosen(*nodes, nodes_in_all=10, seed=seed) for seed in range(50))

    assert set(taken) == {0, 1}
