"""The `aws` backend: each cluster's head and workers are EC2 instances in the user's account."""

import platform
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from orchestrator.aws.cluster_file import images_by_parameter, with_images, with_versions
from orchestrator.aws.session import Account, explain
from orchestrator.backends.aws.cluster import AwsCluster
from orchestrator.backends.aws.machines import Instance
from orchestrator.backends.base import BackendRequest
from orchestrator.backends.live.backend import LiveBackend
from orchestrator.backends.live.cluster import ClusterLaunch
from orchestrator.rayapi.version import ray_version


class AwsBackend(LiveBackend):
    """Runs trials on clusters in an account. `raw` is the cluster file as Ray's launcher gets it, see `prepare`."""

    name = "aws"

    def __init__(self, request: BackendRequest, account: Account, raw: Mapping[str, Any]) -> None:
        super().__init__(request)
        self._account = account
        self._raw = raw

    def _start_cluster(self, launch: ClusterLaunch) -> AwsCluster:
        request = self._request
        return AwsCluster.start(launch, self._account, self._raw, request.sweep_id, progress=request.progress)


def prepare(request: BackendRequest) -> AwsBackend:
    """Return a backend for the request; nothing is started. Raises InputError, MissingPrerequisite."""
    cluster = request.cluster
    account = Account.connect(cluster.region)
    ssm = account.client("ssm")
    with explain("looking for the images"):
        images = {
            parameter: str(ssm.get_parameter(Name=parameter)["Parameter"]["Value"])
            for parameter in set(images_by_parameter(cluster.raw).values())
        }
    python = ".".join(platform.python_version_tuple()[:2])
    raw = with_versions(with_images(cluster.raw, images), ray=ray_version(), python=python)
    return AwsBackend(request, account, raw)
