"""The simulator's model of Ray below its autoscaler. `validate` measures its accuracy."""

from typing import Annotated

from pydantic import AllowInfNan, Field

from orchestrator.model.base import FrozenModel
from orchestrator.model.latency import Delay


class RayModel(FrozenModel):
    """The section `provider.simulation` of a cluster file.

    `demand_lag`: delay until the autoscaler sees which tasks wait and which have started or ended (drawn once per
    trial). `worker_start`: wait of a task for a new worker process (drawn once per node). `task_overhead`: time between
    two tasks of a worker (drawn once per trial). `drain`: from an accepted drain until the node's Ray has ended.
    `submit_phase`: time of the submission after an update, as a share of the update interval; None draws it.
    `node_updaters`: true if the autoscaler installs Ray on each booted machine (AWS), false if the machine does; it
    follows from `disable_node_updaters` of the provider.
    """

    demand_lag: Delay = Delay(mean_s=1.0)
    worker_start: Delay = Delay()
    task_overhead: Delay = Delay()
    drain: Delay = Delay(mean_s=1.0)
    submit_phase: Annotated[float, AllowInfNan(False), Field(ge=0, lt=1)] | None = None
    node_updaters: bool = False
