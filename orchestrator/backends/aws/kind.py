"""The `aws` backend as the registry knows it. Nothing of boto3 is imported before a user asks for AWS."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.assets import bundled
from orchestrator.backends.base import Backend, BackendKind, BackendRequest, Cloud, Orphan
from orchestrator.errors import InputError, SpecError

if TYPE_CHECKING:
    from orchestrator.aws.session import Account
    from orchestrator.inputs.cluster_config import ClusterFile
    from orchestrator.inputs.prices import ClusterPrices
    from orchestrator.model.billing import Rates
    from orchestrator.model.prices import Prices
    from orchestrator.readiness import Question


def _create(request: BackendRequest) -> Backend:
    from orchestrator.backends.aws.backend import prepare

    return prepare(request)


def _check(cluster: "ClusterFile") -> None:
    provider = cluster.raw["provider"]
    if provider.get("type") != "aws":
        named = cluster.foreign_provider or "none"
        raise SpecError(
            f"{cluster.path}: provider.type",
            f"{named}, but --backend aws launches machines on EC2",
            "write type: aws, or leave --cluster out to take the built-in cluster/aws.yaml",
        )
    docker = cluster.raw.get("docker") or {}
    if any(docker.get(key) for key in ("image", "head_image", "worker_image")):
        raise SpecError(
            f"{cluster.path}: docker",
            "Ray would run in a container on each machine, from which a lease can't end the machine",
            "leave docker out, and install Ray by setup_commands or with an image, as cluster/aws.yaml does",
        )


def _complete(cluster: "ClusterFile") -> "ClusterFile":
    """Return the file with the region that the user's AWS configuration sets, if the file itself has none."""
    from orchestrator.aws.session import Account

    region = Account.connect(cluster.region).region
    provider = {**cluster.raw["provider"], "region": region}
    return replace(cluster, raw={**cluster.raw, "provider": provider})


def _account(cluster: "ClusterFile") -> "Account":
    from orchestrator.aws.session import Account

    return Account.connect(cluster.region)


def _preflight(cluster: "ClusterFile") -> "Iterable[Question]":
    from orchestrator.aws.preflight import questions

    return questions(cluster, partial(_account, cluster))


def _prices(cluster: "ClusterFile", catalogue: "ClusterPrices") -> "ClusterPrices":
    from orchestrator.aws.prices import current_prices

    return current_prices(_account(cluster), cluster, catalogue)


def _rates(cluster: "ClusterFile", prices: "Prices") -> "Rates":
    from orchestrator.aws.rates import rates_of

    return rates_of(cluster, prices)


def _changes(cluster: "ClusterFile") -> Sequence[str]:
    from orchestrator.backends.aws.changes import changes

    return changes(cluster)


def _orphans(region: str | None, home: Path) -> Iterable[Orphan]:
    from orchestrator.backends.aws.leftovers import find_orphans

    return find_orphans(region, home)


def _remove(region: str | None, home: Path, cluster_id: str) -> None:
    from orchestrator.backends.aws.leftovers import remove_orphan

    remove_orphan(region, home, cluster_id)


def _in_region(region: str) -> BackendKind:
    from orchestrator.aws.session import all_regions

    if region != "all" and region not in all_regions():
        raise InputError(f"--region: AWS has no region {region!r:.60}", "for example us-east-1, or all")
    return replace(AWS, orphans=partial(_orphans, region), remove=partial(_remove, region))


AWS = BackendKind(
    name="aws",
    starts="EC2 instances in your AWS account, which cost money",
    default_cluster=partial(bundled, "cluster/aws.yaml"),
    create=_create,
    check=_check,
    orphans=partial(_orphans, None),
    remove=partial(_remove, None),
    cloud=Cloud(
        complete=_complete,
        preflight=_preflight,
        prices=_prices,
        rates=_rates,
        changes=_changes,
        regions=_in_region,
    ),
)
