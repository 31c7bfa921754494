"""The `simulated` backend as the registry knows it."""

from functools import partial

from orchestrator.assets import bundled
from orchestrator.backends.base import Backend, BackendKind, BackendRequest
from orchestrator.model.fault import FATAL


def _create(request: BackendRequest) -> Backend:
    from orchestrator.backends.simulated.backend import SimulatedBackend

    return SimulatedBackend(timeout_s=request.spec.timeout_s, start_executor=request.start_executor, lazy=request.lazy)


# A simulated Ray has no health checks, by which a real one notices a silent node: only fatal faults make sense.
SIMULATED = BackendKind(
    name="simulated",
    starts="virtual time, nothing is started",
    default_cluster=partial(bundled, "cluster/simulated.yaml"),
    create=_create,
    faults=FATAL,
    runs=frozenset({"groups", "actors", "recorded", "requests"}),
    real_time=False,
)
