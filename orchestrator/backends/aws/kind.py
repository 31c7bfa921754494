"""The `aws` backend as the registry knows it."""

from functools import partial

from orchestrator.assets import bundled
from orchestrator.backends.base import Backend, BackendKind, BackendRequest


def _create(request: BackendRequest) -> Backend:
    from orchestrator.backends.aws.backend import prepare

    return prepare(request)


AWS = BackendKind(
    name="aws",
    starts="EC2 instances in your AWS account",
    default_cluster=partial(bundled, "cluster/aws.yaml"),
    create=_create,
)
