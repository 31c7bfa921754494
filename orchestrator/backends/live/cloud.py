"""The contracts between Ray's node provider, a cloud that gives nodes, and the machines on which nodes run."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol


class CannotStart(Exception):
    """A machine can't even be tried to start. If the cause is a MissingPrerequisite, no other machine can either."""


class MachineLost(Exception):
    """Nothing tells any more what became of a machine."""


class Machine(Protocol):
    """The machine of one node. `start` and then `wait` run in the node's own thread, the other methods in any."""

    def start(self) -> bool:
        """Start Ray; return true once it runs, false once it never will. Raises CannotStart, MachineLost."""
        ...

    def wait(self) -> int:
        """Wait until the machine has ended, by itself or by `end` or `kill`; return its exit code, 0 after a drain.

        Raises MachineLost.
        """
        ...

    def end(self) -> None:
        """End it, Ray first. If that comes before `start`, `start` does nothing."""
        ...

    def kill(self) -> None:
        """End it by force."""
        ...

    def address(self) -> str:
        """Return its IP address once it has started; empty if it has none of its own."""
        ...

    def last_words(self) -> str:
        """Return the last line of its output, or an empty string."""
        ...


@dataclass(frozen=True)
class LaunchRequest:
    """A request for `count` nodes of one type. Tags are Ray's; resources and labels are what each node offers."""

    node_type: str
    count: int = 1
    tags: Mapping[str, str] = field(default_factory=dict)
    resources: Mapping[str, float] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(eq=False)
class CloudNode:
    """A node that exists: from the answer to the request until the autoscaler, or the cloud, ends it."""

    node_id: str
    node_type: str
    tags: Mapping[str, str]
    resources: Mapping[str, float] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    booted: bool = False
    ip: str = ""
    machine: Machine | None = None
    ending: threading.Event = field(default_factory=threading.Event)


class Cloud(Protocol):
    """A cloud as a node provider sees it."""

    def nodes(self) -> Mapping[str, CloudNode]:
        """Return the workers that exist, by id."""
        ...

    def create(self, request: LaunchRequest) -> None:
        """Ask for nodes. Return when the cloud has answered; they then boot. Raises LaunchRefused."""
        ...

    def terminate(self, node_id: str) -> None:
        """Take a node out of the list at once. It ends in the background."""
        ...
