"""Find and remove what carries our tags in an account, in one region or in all. Nothing else is ever touched."""

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from botocore import exceptions as boto

from orchestrator.aws.session import Account, code_of, explain, explained
from orchestrator.aws.tags import EXPIRES, Mark, ours
from orchestrator.errors import ClusterFailed, MissingPrerequisite, OrchestrateError
from orchestrator.inputs.prices import price_of

_log = logging.getLogger(__name__)

ALL = "all"
"""In place of a region: every region that the account has enabled."""

INSTANCE, VOLUME, INTERFACE = "instance", "volume", "network interface"
KEY_PAIR, GROUP, SPOT_REQUEST = "key pair", "security group", "spot request"

REMOVAL_S = 600.0
_AGAIN_S = 2.0
# An instance that is shutting down bills no more, and nobody can do anything about it.
_EXISTING = ("pending", "running", "stopping", "stopped")
_GONE = frozenset({"InvalidVolume", "InvalidNetworkInterfaceID", "InvalidKeyPair", "InvalidGroup", "InvalidInstanceID"})
# While an instance still shuts down, it holds its disks, interfaces and groups.
_STILL_HELD = frozenset({"DependencyViolation", "VolumeInUse", "InvalidParameterValue", "InvalidNetworkInterface"})
_GB_HOUR = 0.1 / 730  # about EBS's list price
_AT_A_TIME = 8


@dataclass(frozen=True)
class Resource:
    """One resource of ours. `what` says which, such as its type and state; `usd_per_hour` is None if it is unknown."""

    kind: str
    name: str
    region: str
    mark: Mark
    what: str = ""
    since: datetime | None = None
    usd_per_hour: float | None = 0.0

    def usd(self, now: datetime) -> float | None:
        """Return what it has cost until now; None if its price is unknown."""
        if self.usd_per_hour is None:
            return None
        return self.usd_per_hour * self._hours(now)

    def _hours(self, now: datetime) -> float:
        return 0.0 if self.since is None else max(0.0, (now - self.since).total_seconds() / 3600)

    def describe(self, now: datetime) -> str:
        """Return a line such as `instance i-0abc: m7i.2xlarge, running, in us-east-1 for 3.2 h, about $1.29`."""
        age = "" if self.since is None else f" for {self._hours(now):.1f} h"
        usd = self.usd(now)
        cost = ", price unknown" if usd is None else f", about ${usd:.2f}" if self.since is not None else ""
        return f"{self.kind} {self.name}: {self.what + ', ' if self.what else ''}in {self.region}{age}{cost}"


def regions_of(account: Account, region: str) -> list[Account]:
    """Return the account in this region, or in every region that it has enabled if `region` is `all`."""
    if region != ALL:
        return [Account.connect(region)]
    with explain("listing the regions"):
        found = account.client("ec2").describe_regions()["Regions"]
    return [account.elsewhere(each["RegionName"]) for each in found]


def find_everywhere(accounts: Sequence[Account]) -> Iterator[Resource]:
    """Yield everything of ours in several regions.

    Raises MissingPrerequisite at the end if a region can't be looked at, after all others.
    """
    failed: dict[str, OrchestrateError] = {}

    def look(account: Account) -> list[Resource]:
        try:
            return find(account)
        except OrchestrateError as error:
            _log.info("nothing is known of %s: %s", account.region, error.message)
            failed[account.region] = error
            return []

    with ThreadPoolExecutor(_AT_A_TIME) as pool:
        for found in pool.map(look, accounts):
            yield from found
    if failed:
        first = next(iter(failed.values()))
        where = ", ".join(sorted(failed))
        raise MissingPrerequisite(f"{where}: {first.message}", first.hint or "name a region with --region")


def find(account: Account, cluster_id: str | None = None) -> list[Resource]:
    """Return everything of ours in the account's region, or of one cluster, in the order of removal."""
    ec2, region = account.client("ec2"), account.region
    filters = list(ours(cluster_id))
    with explain(f"looking for resources in {region}"):
        found = [
            _resource(SPOT_REQUEST, each, "SpotInstanceRequestId", region, each["State"])
            for each in _pages(ec2, "describe_spot_instance_requests", "SpotInstanceRequests", filters)
            if each["State"] in ("open", "active")
        ]
        found += [_instance(each, region) for each in _instances(ec2, filters, _EXISTING)]
        found += [_volume(each, region) for each in _pages(ec2, "describe_volumes", "Volumes", filters)]
        found += [
            _resource(INTERFACE, each, "NetworkInterfaceId", region, each["Status"], tags="TagSet")
            for each in _pages(ec2, "describe_network_interfaces", "NetworkInterfaces", filters)
        ]
        pairs = ec2.describe_key_pairs(Filters=filters)["KeyPairs"]
        found += [_resource(KEY_PAIR, each, "KeyName", region) for each in pairs]
        found += [
            _resource(GROUP, each, "GroupId", region)
            for each in _pages(ec2, "describe_security_groups", "SecurityGroups", filters)
        ]
    # A filter that a service ignores must not cost anybody a machine: the tags are read again here.
    return [each for each in found if each is not None and cluster_id in (None, each.mark.cluster_id)]


def remove(
    account: Account,
    cluster_id: str,
    *,
    timeout_s: float = REMOVAL_S,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Remove everything of a cluster, and return when it is gone; safe to call twice.

    Instances end first: a head that still runs launches workers again. Then disks and interfaces, which an instance
    holds until it has ended, and then key pairs and groups. Raises ClusterFailed if something is left.
    """
    deadline = clock() + timeout_s
    while True:
        left = find(account, cluster_id)
        refusals = _remove_once(account, left)
        if not left and not _shutting_down(account, cluster_id):
            return
        if clock() >= deadline:
            names = ", ".join(each.name for each in left) or "instances that are shutting down"
            why = f": {refusals[0].message}" if refusals else ""
            raise ClusterFailed(f"cluster {cluster_id}: {names} of {account.region} can't be removed{why}", _AGAIN)
        sleep(_AGAIN_S)


def postpone(account: Account, instance: str, mark: Mark) -> None:
    """Write a cluster's new time of expiry into the tags of an instance. The latest one in a cluster counts."""
    expires = [tag for tag in mark.tags() if tag["Key"] == EXPIRES]
    with explain("postponing the expiry"):
        account.client("ec2").create_tags(Resources=[instance], Tags=expires)


_AGAIN = "wait a minute, then: orchestrate clean --backend aws; or remove them in the AWS console"


def _remove_once(account: Account, found: Sequence[Resource]) -> list[OrchestrateError]:
    """Try to remove each resource whose turn it is; return AWS's refusals. Raises for those that no time can change."""
    ec2 = account.client("ec2")
    names = {kind: [each.name for each in found if each.kind == kind] for kind in {each.kind for each in found}}
    refusals: list[OrchestrateError] = []
    if requests := names.get(SPOT_REQUEST):
        _try(refusals, "cancelling spot requests", ec2.cancel_spot_instance_requests, SpotInstanceRequestIds=requests)
    if instances := names.get(INSTANCE):
        _try(refusals, "ending instances", ec2.terminate_instances, InstanceIds=instances)
        return refusals
    for name in names.get(VOLUME, ()):
        _try(refusals, f"deleting the volume {name}", ec2.delete_volume, VolumeId=name)
    for name in names.get(INTERFACE, ()):
        _try(refusals, f"deleting the interface {name}", ec2.delete_network_interface, NetworkInterfaceId=name)
    for name in names.get(KEY_PAIR, ()):
        _try(refusals, f"deleting the key pair {name}", ec2.delete_key_pair, KeyName=name)
    for name in names.get(GROUP, ()):
        _try(refusals, f"deleting the security group {name}", ec2.delete_security_group, GroupId=name)
    return refusals


def _try(refusals: list[OrchestrateError], doing: str, call: Callable[..., Any], **arguments: Any) -> None:
    try:
        call(**arguments)
    except boto.ClientError as error:
        code = code_of(error)
        if code.partition(".")[0] in _GONE:
            _log.debug("%s: it is gone already", doing)
        elif code.partition(".")[0] in _STILL_HELD:
            _log.debug("%s: %s", doing, code)
            refusals.append(explained(doing, error))
        else:
            raise explained(doing, error) from None
    except boto.BotoCoreError as error:
        raise explained(doing, error) from None


def _shutting_down(account: Account, cluster_id: str) -> bool:
    with explain("waiting for instances to end"):
        return any(_instances(account.client("ec2"), list(ours(cluster_id)), ("shutting-down",)))


def _instances(ec2: Any, filters: Sequence[Mapping[str, Any]], states: Sequence[str]) -> Iterator[dict[str, Any]]:
    wanted = [*filters, {"Name": "instance-state-name", "Values": list(states)}]
    for group in _pages(ec2, "describe_instances", "Reservations", wanted):
        yield from group["Instances"]


def _pages(ec2: Any, operation: str, key: str, filters: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    for page in ec2.get_paginator(operation).paginate(Filters=list(filters)):
        yield from page.get(key, ())


def _resource(
    kind: str, found: Mapping[str, Any], key: str, region: str, what: str = "", tags: str = "Tags"
) -> Resource | None:
    mark = Mark.read(found.get(tags) or ())
    return None if mark is None else Resource(kind, str(found[key]), region, mark, what)


def _instance(found: Mapping[str, Any], region: str) -> Resource | None:
    mark = Mark.read(found.get("Tags") or ())
    if mark is None:
        return None
    kind, spot = found["InstanceType"], found.get("InstanceLifecycle") == "spot"
    state = found["State"]["Name"]
    usd = 0.0 if state == "stopped" else price_of(region, kind, spot=spot)
    market = " on spot" if spot else ""
    return Resource(INSTANCE, found["InstanceId"], region, mark, f"{kind}{market}, {state}", found["LaunchTime"], usd)


def _volume(found: Mapping[str, Any], region: str) -> Resource | None:
    mark = Mark.read(found.get("Tags") or ())
    if mark is None:
        return None
    size = int(found["Size"])
    what = f"{size} GB, {found['State']}"
    return Resource(VOLUME, found["VolumeId"], region, mark, what, found["CreateTime"], size * _GB_HOUR)


def by_cluster(found: Iterable[Resource]) -> dict[str, list[Resource]]:
    """Return resources by the id of their cluster."""
    clusters: dict[str, list[Resource]] = {}
    for each in found:
        clusters.setdefault(each.mark.cluster_id, []).append(each)
    return clusters
