"""Tasks of a simulated Ray that wait: a queue for all that need the same."""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

from orchestrator.model.group import MAX_TASKS, Group
from orchestrator.model.task_needs import Needs

# Ray counts resources in ten-thousandths.
UNITS = 10_000


def in_units(resources: Mapping[str, float]) -> dict[str, int]:
    """Return amounts of resources as Ray counts them. Nothing is needed in a smaller amount than one unit."""
    return {name: max(1, round(amount * UNITS)) for name, amount in resources.items() if amount > 0}


@dataclass(slots=True, eq=False)
class Batch:
    """Tasks of a group that were submitted together, and last equally long."""

    group: Group
    submitted: float
    seconds: float
    count: int


@dataclass(slots=True, eq=False)
class TaskQueue:
    """Waiting tasks, or actors, that need the same. `visible` is how many of them the GCS knows."""

    needs: Needs
    reuses_workers: bool
    amounts: dict[str, int]
    waiting: deque[Batch] = field(default_factory=deque)
    pending: int = 0
    visible: int = 0

    @classmethod
    def of(cls, group: Group) -> "TaskQueue":
        """Return the queue for a group's members."""
        (needs,) = group.needs
        return cls(needs, group.of == "tasks", in_units(needs.resources))

    def append(self, batch: Batch) -> None:
        """Add tasks at the end."""
        self.waiting.append(batch)
        self.pending += batch.count

    def put_back(self, batch: Batch) -> None:
        """Add tasks at the beginning, because the node that ran them is lost."""
        self.waiting.appendleft(batch)
        self.pending += batch.count

    def take(self, most: int) -> Batch:
        """Take up to `most` equal tasks from the beginning."""
        first = self.waiting[0]
        if first.count <= most:
            self.waiting.popleft()
            taken = first
        else:
            first.count -= most
            taken = Batch(first.group, first.submitted, first.seconds, most)
        self.pending -= taken.count
        return taken

    def fitting(self, free: Mapping[str, int]) -> int:
        """Return how many of its tasks free resources, in Ray's units, are enough for."""
        return min((free.get(name, 0) // amount for name, amount in self.amounts.items()), default=MAX_TASKS)
