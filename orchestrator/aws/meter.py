"""Count what a sweep's instances cost, from what EC2 says of them: a function of DescribeInstances' answers."""

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from orchestrator.model.billing import Bill, BilledMachine, Rates, bill_of

BILLING_STATES = ("pending", "running", "stopping")
_TYPE, _KIND = "ray-user-node-type", "ray-node-type"  # tags of Ray's own


class Meter:
    """The bill of all instances that were ever seen. It forgets none: EC2 shows ended ones for about an hour only."""

    def __init__(self, rates: Rates, clock: Callable[[], float] = time.time) -> None:
        self._rates = rates
        self._clock = clock
        self._lock = threading.Lock()
        self._machines: dict[str, BilledMachine] = {}

    def see(self, instances: Iterable[Mapping[str, Any]]) -> None:
        """Take in an answer of DescribeInstances for the sweep's tag. An instance that is missing has ended, too."""
        now = self._clock()
        found = {str(each["InstanceId"]): each for each in instances}
        with self._lock:
            for name, instance in found.items():
                known = self._machines.get(name) or _machine(name, instance)
                # EC2 may leave out an instance for some seconds after its launch: it hasn't ended then.
                ended = None if instance["State"]["Name"] in BILLING_STATES else known.ended or now
                self._machines[name] = known.model_copy(update={"ended": ended})
            for name in self._machines.keys() - found.keys():
                if self._machines[name].ended is None:
                    self._machines[name] = self._machines[name].model_copy(update={"ended": now})

    def bill(self) -> Bill:
        """Return what all of them have cost until now."""
        with self._lock:
            return bill_of(self._machines.values(), self._rates, self._clock())


def _machine(name: str, instance: Mapping[str, Any]) -> BilledMachine:
    tags = {tag["Key"]: tag["Value"] for tag in instance.get("Tags", ())}
    return BilledMachine(
        name=name,
        node_type=tags.get(_TYPE, ""),
        is_head=tags.get(_KIND) == "head",
        launched=instance["LaunchTime"].timestamp(),
    )
