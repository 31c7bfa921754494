"""Ray's hybrid scheduling policy: the node for a task among those that have room for it.

Source: `src/ray/raylet/scheduling/policy/hybrid_scheduling_policy.cc`. A node whose critical resource (CPU or memory)
is used by less than half counts as empty, so tasks are packed up to there and then spread. Among the best nodes, in the
order in which they joined, a fifth of all nodes are candidates, and chance decides. The head, where the tasks are
submitted, is preferred. Tasks without GPUs avoid nodes with GPUs.
"""

import random
from collections.abc import Mapping, Sequence
from typing import Protocol, TypeVar

SPREAD_THRESHOLD = 0.5
TOP_K_FRACTION = 0.2
_CRITICAL = ("CPU", "memory")


class Candidate(Protocol):
    """A node that has room. Amounts are in Ray's units."""

    @property
    def number(self) -> int:
        """The node's place in the order of joining."""
        ...

    @property
    def is_head(self) -> bool:
        """True for the head."""
        ...

    @property
    def total(self) -> Mapping[str, int]:
        """The node's resources."""
        ...

    @property
    def free(self) -> Mapping[str, int]:
        """The free part of them."""
        ...


def critical_use(node: Candidate) -> float:
    """Return the share in use of the node's most used critical resource."""
    shares = ((total, node.free[name]) for name in _CRITICAL if (total := node.total.get(name)))
    return max((1 - free / total for total, free in shares), default=0.0)


def score(node: Candidate) -> float:
    """Return the node's score; the lowest is best."""
    used = critical_use(node)
    return used if used >= SPREAD_THRESHOLD else 0.0


Node = TypeVar("Node", bound=Candidate)


def best_node(nodes: Sequence[Node], *, wants_gpu: bool, nodes_in_all: int, rng: random.Random) -> Node:
    """Return the node for a task; each of `nodes`, at least one, has room for it."""
    if not wants_gpu:
        nodes = [node for node in nodes if not node.total.get("GPU")] or nodes
    scored = sorted((score(node), node.number, place) for place, node in enumerate(nodes))
    head = next((node for node in nodes if node.is_head), None)
    if head is not None and score(head) <= scored[0][0]:
        return head
    candidates = min(max(1, int(nodes_in_all * TOP_K_FRACTION)), len(scored))
    chosen = scored[rng.randrange(candidates) if candidates > 1 else 0]
    return nodes[chosen[2]]
