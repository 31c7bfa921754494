"""The fit of a cluster shape to this machine, so that trials measure the autoscaler and not the machine."""

import logging
import os
from dataclasses import dataclass
from pathlib import Path

from orchestrator.model.cluster import ClusterShape, NodeType
from orchestrator.model.workload import MAX_TASKS, Workload

_log = logging.getLogger(__name__)

# Measured on two cores with Ray 2.60: a node is about 300 MB and 4 CPU-seconds to start, a task slot a Python process
# of about 100 MB and 0.7 CPU-seconds. Beyond these ratios both cores are busy for so long that the starts, not the
# autoscaler's decisions, determine the pace.
NODES_PER_CORE = 3
SLOTS_PER_CORE = 3
NODE_BYTES = 300_000_000
SLOT_BYTES = 100_000_000
MEMORY_SHARE = 0.5

FITTED_TASK_SECONDS = 5.0
FITTED_WAVES_OF_TASKS = 8


_CGROUP = Path("/sys/fs/cgroup")


@dataclass(frozen=True)
class Machine:
    """The CPU cores and the free memory in bytes that the fit depends on."""

    cores: int
    memory: int

    def describe(self) -> str:
        """Return a text such as `2 cores, 22 GiB free`."""
        return f"{self.cores} core{'' if self.cores == 1 else 's'}, {self.memory / 2**30:.0f} GiB free"


def this_machine() -> Machine:
    """Return the machine that runs this process, with the cores that the process may use."""
    import psutil

    cores, memory = len(os.sched_getaffinity(0)), psutil.virtual_memory().available
    quota, period = _cgroup_numbers("cpu.max", 2)
    if quota and period:
        cores = min(cores, max(1, quota // period))
    (limit,), (used,) = _cgroup_numbers("memory.max", 1), _cgroup_numbers("memory.current", 1)
    if limit:
        memory = min(memory, max(0, limit - (used or 0)))
    return Machine(cores, memory)


def _cgroup_numbers(name: str, count: int) -> list[int | None]:
    """Return the numbers in a file of this container's cgroup (v2); None for each that is missing or `max`."""
    try:
        words = (_CGROUP / name).read_text().split()
    except OSError:
        _log.debug("no cgroup file %s", name)
        words = []
    return [int(word) if word.isdigit() else None for word in (words + [""] * count)[:count]]


def fit_shape(shape: ClusterShape, machine: Machine) -> ClusterShape:
    """Return the shape, reduced until the machine can start and hold all of it. It never grows.

    A head with CPUs runs tasks, so that it counts as one more node.
    """
    memory = machine.memory * MEMORY_SHARE
    affordable = min(shape.max_workers, NODES_PER_CORE * machine.cores, int(memory / (NODE_BYTES + SLOT_BYTES)))
    per_type = max(1, affordable // len(shape.launchable))
    total = min(shape.max_workers, sum(min(worker.max_workers, per_type) for worker in shape.launchable))
    slots = min(SLOTS_PER_CORE * machine.cores, int((memory - total * NODE_BYTES) / SLOT_BYTES))
    cpus = max(1, slots // (total + bool(shape.head.cpus)))
    workers = tuple(_fit_node_type(worker, per_type, cpus) for worker in shape.workers)
    head = _fit_node_type(shape.head, per_type, cpus)
    return shape.model_copy(update={"head": head, "workers": workers, "max_workers": total})


def _fit_node_type(worker: NodeType, max_workers: int, cpus: int) -> NodeType:
    limit = min(worker.max_workers, max_workers)
    resources = {**worker.resources, "CPU": float(min(worker.cpus, cpus))} if worker.cpus else worker.resources
    fitted = {"max_workers": limit, "min_workers": min(worker.min_workers, limit), "resources": resources}
    return worker.model_copy(update=fitted)


def fitted_workload(shape: ClusterShape) -> Workload:
    """Return a burst that keeps the whole cluster busy for about eight rounds of short tasks."""
    tasks = max(1, int(shape.max_cpus)) * FITTED_WAVES_OF_TASKS
    return Workload(tasks=min(tasks, MAX_TASKS), seconds=FITTED_TASK_SECONDS)
