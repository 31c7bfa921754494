"""The tags by which everything of ours is found in an account, on each resource from its creation on."""

import getpass
import platform
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

CLUSTER = "orchestrate:cluster"
SWEEP = "orchestrate:sweep"
OWNER = "orchestrate:owner"
EXPIRES = "orchestrate:expires"

ON_LAUNCH = ("instance", "volume", "network-interface")
"""The resource types that one RunInstances call makes. On the spot market it also makes a spot-instances-request."""


@dataclass(frozen=True)
class Owner:
    """The orchestrator process that made a resource: its user, host, process id and start in UNIX seconds."""

    user: str
    host: str
    pid: int
    started: float

    @classmethod
    def parse(cls, text: str) -> "Owner | None":
        """Return the owner in a tag's value; None if it has another form."""
        try:
            who, pid, started = text.rsplit(" ", 2)
            user, _, host = who.rpartition("@")
            return cls(user, host, int(pid), float(started))
        except ValueError:
            # not logged: None is the answer; anybody can write tags.
            return None

    @classmethod
    def this_process(cls) -> "Owner":
        """Return the calling process."""
        import psutil

        process = psutil.Process()
        return cls(getpass.getuser(), platform.node(), process.pid, process.create_time())

    def __str__(self) -> str:
        return f"{self.user}@{self.host} {self.pid} {self.started:.2f}"


@dataclass(frozen=True)
class Mark:
    """The tags of one cluster. `expires` is when its sweep must have ended; nobody may need it after that."""

    cluster_id: str
    sweep_id: str
    owner: str
    expires: datetime

    @classmethod
    def read(cls, tags: Iterable[Mapping[str, str]]) -> "Mark | None":
        """Return the mark in a resource's tags, in boto3's format; None if the resource isn't ours."""
        found = {tag["Key"]: tag["Value"] for tag in tags}
        if not found.get(CLUSTER):
            return None
        return cls(found[CLUSTER], found.get(SWEEP, ""), found.get(OWNER, ""), _time(found.get(EXPIRES, "")))

    def tags(self) -> list[dict[str, str]]:
        """Return the tags in boto3's format."""
        values = {
            CLUSTER: self.cluster_id,
            SWEEP: self.sweep_id,
            OWNER: self.owner,
            EXPIRES: self.expires.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        }
        return [{"Key": key, "Value": value} for key, value in values.items() if value]

    def specifications(self, *resource_types: str) -> list[dict[str, Any]]:
        """Return TagSpecifications for a call that makes resources of these types."""
        return [{"ResourceType": each, "Tags": self.tags()} for each in resource_types]


def ours(cluster_id: str | None = None, sweep_id: str | None = None) -> Sequence[Mapping[str, Any]]:
    """Return the filters for everything of ours, or of one cluster, or of one sweep."""
    if cluster_id is not None:
        return [{"Name": f"tag:{CLUSTER}", "Values": [cluster_id]}]
    if sweep_id is not None:
        return [{"Name": f"tag:{SWEEP}", "Values": [sweep_id]}, {"Name": "tag-key", "Values": [CLUSTER]}]
    return [{"Name": "tag-key", "Values": [CLUSTER]}]


def _time(text: str) -> datetime:
    """Return the time in a tag. A time that can't be read has passed: nothing may live for ever by a damaged tag."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        # not logged: the answer is the earliest time.
        return datetime.min.replace(tzinfo=UTC)
    return found if found.tzinfo else found.replace(tzinfo=UTC)
