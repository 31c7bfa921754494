"""The clusters in an AWS account as `clean` knows them: by tag, with their owners and their cost.

A cluster's processes on this machine belong to it: Ray's launcher, and SSH to its nodes.
"""

import platform
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from orchestrator.aws.inventory import Resource, by_cluster, find_everywhere, regions_of
from orchestrator.aws.inventory import remove as remove_from
from orchestrator.aws.session import Account
from orchestrator.aws.tags import Mark, Owner
from orchestrator.backends.base import Orphan
from orchestrator.backends.live.ownership import process_alive
from orchestrator.backends.local.processes import end_marked, find_marked
from orchestrator.errors import InputError, MissingPrerequisite


def find_orphans(region: str | None, home: Path) -> Iterable[Orphan]:
    """Yield the clusters in a region, in `all`, or in the configured one; also those in use, and of other machines."""
    now = datetime.now(UTC)
    resources: list[Resource] = []
    problem: MissingPrerequisite | None = None
    try:
        for each in find_everywhere(_accounts(region)):
            resources.append(each)
    except MissingPrerequisite as error:
        # not logged: it is raised below.
        problem = error
    for cluster_id, found in by_cluster(resources).items():
        pids = tuple(str(process.pid) for process in find_marked(home, cluster_id))
        yield orphan(cluster_id, found, now, pids)
    if problem is not None:
        raise problem


def remove_orphan(region: str | None, home: Path, cluster_id: str) -> None:
    """End a cluster's processes here, then all of it in these regions. Raises MissingPrerequisite, ClusterFailed."""
    end_marked(home, cluster_id)  # first: a launcher that still runs would launch again
    for account in _accounts(region):
        remove_from(account, cluster_id)


def orphan(cluster_id: str, found: Sequence[Resource], now: datetime, pids: tuple[str, ...] = ()) -> Orphan:
    """Return a cluster's resources, and the ids of its processes on this machine, as one orphan."""
    kinds = dict.fromkeys(each.kind for each in found)
    mark = max((each.mark for each in found), key=lambda mark: mark.expires)  # a sweep may have postponed it
    costs = [each.usd(now) for each in found]
    return Orphan(
        cluster_id,
        {**{kind: tuple(each.name for each in found if each.kind == kind) for kind in kinds}, "process": pids},
        in_use=in_use(mark, now),
        sweep_id=mark.sweep_id,
        details=tuple(each.describe(now) for each in found),
        usd=None if None in costs else sum(usd for usd in costs if usd is not None),
        owner=f"{mark.owner or 'an unknown owner'} until {mark.expires:%Y-%m-%d %H:%M} UTC",
    )


def in_use(mark: Mark, now: datetime) -> bool:
    """Return whether a cluster's orchestrator runs; on another machine that is so until the cluster has expired."""
    owner = Owner.parse(mark.owner)
    if owner is not None and owner.host == platform.node():
        return process_alive(owner.pid, owner.started)
    return now < mark.expires


def _accounts(region: str | None) -> list[Account]:
    try:
        if region is None:
            return [Account.connect()]
        return regions_of(Account.connect(None if region == "all" else region), region)
    except InputError as error:
        raise MissingPrerequisite(error.message, "name a region with --region, or --region all") from None
