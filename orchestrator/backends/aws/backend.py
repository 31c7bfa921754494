"""The `aws` backend: each cluster's head and workers are EC2 instances in the user's account."""

import platform
from collections.abc import Mapping
from typing import Any

from orchestrator.aws.cluster_file import with_images, with_versions
from orchestrator.aws.preflight import resolve_images
from orchestrator.aws.session import Account
from orchestrator.backends.aws.cluster import AwsCluster, Place
from orchestrator.backends.base import BackendRequest
from orchestrator.backends.live.backend import LiveBackend
from orchestrator.backends.live.cluster import ClusterLaunch
from orchestrator.rayapi.version import ray_version


class AwsBackend(LiveBackend):
    """Runs trials on clusters in an account. `raw` is the cluster file as Ray's launcher gets it, see `prepare`."""

    name = "aws"

    def __init__(self, request: BackendRequest, account: Account, raw: Mapping[str, Any]) -> None:
        super().__init__(request)
        self._place = Place(account, raw, request.sweep_id, request.progress)

    def _start_cluster(self, launch: ClusterLaunch) -> AwsCluster:
        return AwsCluster.start(launch, self._place)


def prepare(request: BackendRequest) -> AwsBackend:
    """Return a backend for the request; nothing is started. Raises InputError, MissingPrerequisite."""
    raw = request.cluster.raw
    account = Account.connect(request.cluster.region)
    python = ".".join(platform.python_version_tuple()[:2])
    images = resolve_images(account, raw)
    return AwsBackend(request, account, with_versions(with_images(raw, images), ray=ray_version(), python=python))
