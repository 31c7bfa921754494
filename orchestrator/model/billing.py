"""The whole bill of a cluster in a cloud: rates of its machines, and what they have cost."""

import math
from collections.abc import Iterable, Mapping

from pydantic import Field

from orchestrator.model.base import FrozenModel
from orchestrator.model.cluster import ClusterShape

MINIMUM_S = 60.0
"""EC2 bills the seconds of a Linux machine, at least 60 of them."""


class Rate(FrozenModel):
    """The cost of one machine, in dollars an hour: itself, and what it brings along, such as disk and public address.

    `machine` is None if no list has its price. `ceiling` is the most that it can cost where its price varies.
    """

    machine: float | None
    extras: float = 0.0
    ceiling: float | None = None

    @property
    def expected(self) -> float:
        """Return the dollars an hour of the machine with its extras; those of the extras if its price is unknown."""
        return (self.machine or 0.0) + self.extras

    @property
    def highest(self) -> float:
        """Return the most dollars an hour."""
        return max(self.expected, (self.ceiling or 0.0) + self.extras)


class Rates(FrozenModel):
    """The rates of a cluster's machines: its head, and its node types by name. `source` names the price list."""

    head: Rate
    workers: dict[str, Rate]
    source: str = ""

    @property
    def unknown(self) -> list[str]:
        """Return the node types whose machines have no price; `head` is the head's."""
        return sorted(name for name, rate in {"head": self.head, **self.workers}.items() if rate.machine is None)

    def of(self, node_type: str, *, is_head: bool) -> Rate:
        """Return the rate of a machine. A type that the cluster file doesn't have costs as much as its dearest."""
        if is_head:
            return self.head
        return self.workers.get(node_type) or max(self.workers.values(), key=lambda rate: rate.highest)

    def highest(self, shape: ClusterShape) -> float:
        """Return the dollars an hour when as many of the dearest workers run as the limits allow."""
        left, usd = shape.max_workers, self.head.highest
        types = [each for each in shape.launchable if each.name in self.workers]
        for worker in sorted(types, key=lambda each: -self.workers[each.name].highest):
            number = min(left, worker.max_workers)
            usd += number * self.workers[worker.name].highest
            left -= number
        return usd

    def smallest(self, shape: ClusterShape) -> float:
        """Return the dollars an hour of the head with the smallest number of workers."""
        return self.head.expected + sum(
            count * self.workers[name].expected for name, count in shape.baseline.items() if name in self.workers
        )

    def extras(self, node_seconds: Mapping[str, float]) -> float:
        """Return the dollars for the disks and addresses of workers, from the seconds by node type."""
        return sum(
            seconds / 3600 * self.workers[name].extras for name, seconds in node_seconds.items() if name in self.workers
        )


class BilledMachine(FrozenModel):
    """One machine of a bill. `ended` is None while it runs. Times in UNIX seconds."""

    name: str
    node_type: str
    is_head: bool
    launched: float
    ended: float | None = None

    def seconds(self, now: float) -> float:
        """Return the billed seconds until `now`."""
        return max(MINIMUM_S, (self.ended or max(now, self.launched)) - self.launched)


class Bill(FrozenModel):
    """The cost of machines until now, in dollars. `running` of them still do; `unpriced` have no known price."""

    head_usd: float = 0.0
    workers_usd: float = 0.0
    extras_usd: float = 0.0
    machines: int = 0
    running: int = 0
    unpriced: list[str] = Field(default_factory=list)

    @property
    def usd(self) -> float:
        """Return the whole amount."""
        return self.head_usd + self.workers_usd + self.extras_usd

    def plus(self, other: "Bill") -> "Bill":
        """Return the sum of two bills, such as those of a sweep before and after it was resumed."""
        return Bill(
            head_usd=self.head_usd + other.head_usd,
            workers_usd=self.workers_usd + other.workers_usd,
            extras_usd=self.extras_usd + other.extras_usd,
            machines=self.machines + other.machines,
            running=self.running + other.running,
            unpriced=sorted({*self.unpriced, *other.unpriced}),
        )

    def describe(self) -> str:
        """Return the amount and its parts, such as `$1.23 (workers $1.01, head $0.15, disks and addresses $0.07)`."""
        parts = (
            f"workers ${self.workers_usd:.2f}, head ${self.head_usd:.2f}, disks and addresses ${self.extras_usd:.2f}"
        )
        without = f"; without the unknown price of {', '.join(self.unpriced)}" if self.unpriced else ""
        return f"${self.usd:.2f} for {self.machines} machines ({parts}{without})"


def bill_of(machines: Iterable[BilledMachine], rates: Rates, now: float) -> Bill:
    """Return the bill of machines until `now`, in UNIX seconds. A machine bills from its launch until its end."""
    head = workers = extras = 0.0
    number = running = 0
    unpriced = set()
    for machine in machines:
        rate, hours = rates.of(machine.node_type, is_head=machine.is_head), machine.seconds(now) / 3600
        usd = hours * (rate.machine or 0.0)
        head, workers = (head + usd, workers) if machine.is_head else (head, workers + usd)
        extras += hours * rate.extras
        number += 1
        running += machine.ended is None
        if rate.machine is None:
            unpriced.add(machine.node_type or machine.name)
    return Bill(
        head_usd=head,
        workers_usd=workers,
        extras_usd=extras,
        machines=number,
        running=running,
        unpriced=sorted(unpriced),
    )


def whole_cents(usd: float) -> float:
    """Return an amount rounded up to cents: an estimate must not look smaller than it is."""
    return math.ceil(round(usd * 100, 6)) / 100
