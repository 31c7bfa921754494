"""The `simulated` backend as the registry knows it."""

from functools import partial
from typing import TYPE_CHECKING

from orchestrator.assets import bundled
from orchestrator.backends.base import Backend, BackendKind, BackendRequest
from orchestrator.model.fault import FATAL

if TYPE_CHECKING:
    from orchestrator.inputs.cluster_config import ClusterFile


def _create(request: BackendRequest) -> Backend:
    from orchestrator.backends.simulated.backend import SimulatedBackend

    return SimulatedBackend(timeout_s=request.spec.timeout_s, start_executor=request.start_executor, lazy=request.lazy)


def _check(cluster: "ClusterFile") -> None:
    from orchestrator.rayapi.virtual.patching import require_supported_ray

    require_supported_ray()


# A simulated Ray has no health checks, by which a real one notices a silent node: only fatal faults make sense.
SIMULATED = BackendKind(
    name="simulated",
    starts="virtual time, nothing is started",
    default_cluster=partial(bundled, "cluster/simulated.yaml"),
    create=_create,
    faults=FATAL,
    real_time=False,
    check=_check,
)
