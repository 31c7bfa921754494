"""EC2's own account of a cluster's machines, as entries for the journal of nodes."""

import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from orchestrator.aws.session import Account, explain
from orchestrator.aws.tags import ours
from orchestrator.errors import OrchestrateError

_log = logging.getLogger(__name__)

Entry = Mapping[str, Any]
Instance = Mapping[str, Any]

LIVE = ("pending", "running", "shutting-down", "stopping", "stopped")
_ENDING = {
    "shutting-down": "terminating",
    "stopping": "terminating",
    "stopped": "terminated",
    "terminated": "terminated",
}
_RECLAIMED = "Server.SpotInstance"
_INTERVAL_S = 1.0


def tags_of(instance: Instance) -> dict[str, str]:
    """Return the tags of an EC2 resource."""
    return {tag["Key"]: tag["Value"] for tag in instance.get("Tags", ())}


def is_head(instance: Instance) -> bool:
    """Return true if Ray's launcher made this instance as the head."""
    return tags_of(instance).get("ray-node-type") == "head"


def instances_of(account: Account, cluster_id: str, *states: str) -> list[dict[str, Any]]:
    """Return a cluster's instances as EC2 describes them, or those in some states. Raises boto3's errors."""
    filters = list(ours(cluster_id))
    if states:
        filters.append({"Name": "instance-state-name", "Values": list(states)})
    pages = account.client("ec2").get_paginator("describe_instances").paginate(Filters=filters)
    return [each for page in pages for reservation in page["Reservations"] for each in reservation["Instances"]]


def reason_of(instance: Instance) -> str:
    """Return EC2's reason for an instance's end, such as `Server.SpotInstanceTermination: …`; empty without one."""
    return str((instance.get("StateReason") or {}).get("Message", ""))


class MachineJournal:
    """Turns successive descriptions of instances into journal entries; each state of a worker yields one."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[str, str]] = {}

    def see(self, instances: Iterable[Instance], t: float, *, late: bool = False) -> list[Entry]:
        """Return the entries that a new description at `t`, in UNIX seconds, adds.

        A `late` one comes after EC2 hadn't answered: when a machine began to run is unknown, so no entry says it.
        """
        entries: list[Entry] = []
        found = {str(each["InstanceId"]): each for each in instances if not is_head(each)}
        for name, instance in found.items():
            state, node_type = instance["State"]["Name"], tags_of(instance).get("ray-user-node-type", "")
            before, _ = self._known.get(name, ("", ""))
            if state != before and not (not before and state == "terminated"):
                entries += self._entered(name, node_type, state, before, reason_of(instance), t)
            self._known[name] = state, node_type
        if late:
            entries = [entry for entry in entries if entry["event"] != "stage"]
        for name in self._known.keys() - found.keys():
            state, node_type = self._known.pop(name)
            if state in LIVE:
                entries.append({"t": t, "event": "terminated", "node": name, "node_type": node_type})
        return entries

    def _entered(self, name: str, node_type: str, state: str, before: str, reason: str, t: float) -> Iterable[Entry]:
        node = {"t": t, "node": name, "node_type": node_type}
        if state == "running":
            yield {**node, "event": "stage", "stage": "machine"}
        elif state in _ENDING:
            if reason.startswith(_RECLAIMED) and before in ("", "pending", "running"):
                yield {**node, "event": "failed", "cause": "spot_interruption", "detail": reason}
            yield {**node, "event": _ENDING[state], "detail": reason}


@dataclass(frozen=True)
class Identity:
    """The instance behind a private address, and its node type."""

    instance_id: str
    node_type: str


class MachineWatch:
    """Asks EC2 once a second for a cluster's instances, until `stop`; calls `journal` with each new entry.

    `also` gets every answer. `identities` are those of all machines so far by private address. `failure` is the reason
    why EC2 doesn't answer now, and None while it does.
    """

    def __init__(
        self,
        account: Account,
        cluster_id: str,
        journal: Callable[[Entry], None],
        also: Callable[[Sequence[Instance]], None] = lambda instances: None,
    ) -> None:
        self._account, self._cluster_id = account, cluster_id
        self._write, self._also = journal, also
        self._journal = MachineJournal()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="orchestrate-ec2", daemon=True)
        self.identities: dict[str, Identity] = {}
        self.head: Instance | None = None
        self.failure: OrchestrateError | None = None

    def start(self) -> None:
        """Begin to ask."""
        self._thread.start()

    def stop(self) -> None:
        """Ask no more; safe to call twice, and before `start`."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(_INTERVAL_S * 10)

    def _run(self) -> None:
        while True:
            try:
                self._look()
                if self.failure is not None:
                    _log.info("EC2 answers again")
                self.failure = None
            except OrchestrateError as error:
                if self.failure is None:
                    _log.warning("EC2 doesn't say what became of the machines", exc_info=True)
                self.failure = error
            if self._stopping.wait(_INTERVAL_S):
                return

    def ask(self) -> list[dict[str, Any]]:
        """Return the cluster's instances as EC2 describes them now. Raises what `explain` raises."""
        with explain("watching the cluster's machines"):
            return instances_of(self._account, self._cluster_id)

    def _look(self) -> None:
        found = self.ask()
        now = time.time()
        for each in found:
            if is_head(each):
                self.head = each
            if each["State"]["Name"] in ("pending", "running") and (address := each.get("PrivateIpAddress")):
                # An address may be used again.
                node_type = tags_of(each).get("ray-user-node-type", "")
                self.identities[address] = Identity(each["InstanceId"], node_type)
        self._also(found)
        for entry in self._journal.see(found, now, late=self.failure is not None):
            self._write(entry)
