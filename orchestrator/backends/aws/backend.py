"""The `aws` backend: each cluster's head and workers are EC2 instances in the user's account."""

import platform
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from orchestrator.aws.cluster_file import node_configs, with_images, with_versions
from orchestrator.aws.launch import resolve_images
from orchestrator.aws.meter import Meter
from orchestrator.aws.rates import rates_of
from orchestrator.aws.session import Account, explain, outlast_login
from orchestrator.backends.aws.bootstrap import problem_of_user_data
from orchestrator.backends.aws.cluster import AwsCluster, Place
from orchestrator.backends.base import BackendRequest
from orchestrator.backends.live.backend import LiveBackend
from orchestrator.backends.live.cluster import ClusterLaunch
from orchestrator.backends.live.trial_run import default_timeout_s
from orchestrator.errors import CostLimitReached, SpecError
from orchestrator.inputs.prices import prices_for
from orchestrator.model.billing import Bill
from orchestrator.model.trial import Trial
from orchestrator.rayapi.version import ray_version

# Before a new cluster nothing costs money, so there is time.
_LOGIN_S = 3600.0


class AwsBackend(LiveBackend):
    """Runs trials on clusters in an account. `raw` is the cluster file as Ray's launcher gets it, see `prepare`."""

    name = "aws"

    def __init__(self, request: BackendRequest, account: Account, raw: Mapping[str, Any]) -> None:
        super().__init__(request)
        rates = request.rates or rates_of(request.cluster, prices_for(request.cluster, request.spec.prices).prices)
        self._meter = Meter(rates)
        self._place = Place(account, raw, request.sweep_id, request.progress, self._meter.see, self._check_cost)

    def expect(self, trials: Sequence[Trial]) -> None:
        """See `Backend.expect`: the longest that they may take is when nobody needs the machines any more."""
        seconds = sum(self._request.spec.timeout_s or default_timeout_s(trial) for trial in trials)
        self._place = replace(self._place, seconds=seconds)

    def _start_cluster(self, launch: ClusterLaunch) -> AwsCluster:
        outlast_login(self._place.account, self._call_aws, self._place.progress, _LOGIN_S)
        return AwsCluster.start(launch, self._place)

    def _call_aws(self) -> None:
        with explain("asking AWS who you are"):
            self._place.account.client("sts").get_caller_identity()

    def bill(self) -> Bill:
        """See `BilledBackend.bill`."""
        return self._meter.bill()

    def _check_cost(self) -> None:
        """Raise CostLimitReached if the machines have cost as much as they may."""
        limit = self._request.max_usd
        if limit is not None and (bill := self.bill()).usd >= limit:
            raise CostLimitReached(
                f"the machines have cost ${bill.usd:.2f}, and --max-cost allows ${limit:.2f}: they are ended",
                "allow more with --resume SWEEP --max-cost N",
            )

    def close(self) -> None:
        """See `Backend.close`."""
        super().close()
        if not self.left:
            self._meter.see(())


def prepare(request: BackendRequest) -> AwsBackend:
    """Return a backend for the request; nothing is started. Raises InputError, MissingPrerequisite."""
    raw = request.cluster.raw
    for name, node in node_configs(raw).items():
        if problem := problem_of_user_data(str(node.get("UserData", ""))):
            where = f"{request.cluster.path}: available_node_types.{name}.node_config.UserData"
            raise SpecError(where, problem, "write it as a script for bash, or as setup_commands")
    account = Account.connect(request.cluster.region)
    python = ".".join(platform.python_version_tuple()[:2])
    images = resolve_images(account, raw)
    return AwsBackend(request, account, with_versions(with_images(raw, images), ray=ray_version(), python=python))
