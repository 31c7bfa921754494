"""The simulator's assumptions about Ray below its autoscaler; `validate` measures how well they hold."""

from typing import Annotated

from pydantic import AllowInfNan, Field

from orchestrator.model.base import FrozenModel
from orchestrator.model.latency import Delay


class RayModel(FrozenModel):
    """The section `provider.simulation` of a cluster file.

    `demand_lag`: until the autoscaler can see a change of the pending tasks (drawn once for each trial).
    `worker_start`: what a task waits for a new worker process (drawn once for each node).
    `task_overhead`: the time that a worker spends between two tasks (drawn once for each trial).
    `drain`: from an accepted drain until the node's Ray has ended.
    `submit_phase`: when the tasks are submitted, as a share of the update interval after an update; None draws it.
    `node_updaters`: the autoscaler installs Ray on each booted machine (AWS), not the machine by itself; it follows
    from `disable_node_updaters` of the provider.
    """

    demand_lag: Delay = Delay(mean_s=1.0)
    worker_start: Delay = Delay()
    task_overhead: Delay = Delay()
    drain: Delay = Delay(mean_s=1.0)
    submit_phase: Annotated[float, AllowInfNan(False), Field(ge=0, lt=1)] | None = None
    node_updaters: bool = False
