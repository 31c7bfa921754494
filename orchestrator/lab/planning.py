"""Plans a sweep: from a spec file and overrides to the trials and their cluster file."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.errors import InputError
from orchestrator.lab.home import Home
from orchestrator.lab.overrides import SpecOverrides, spec_document
from orchestrator.lab.workload_from import WorkloadFrom, take_workload
from orchestrator.model.job import CANNOT_SIMULATE, RUN_INSTEAD

if TYPE_CHECKING:
    from orchestrator.inputs.cluster_config import ClusterFile
    from orchestrator.sweeps.plan import Plan


def plan_sweep(
    home: Home,
    spec_file: Path | None,
    overrides: SpecOverrides,
    boot_from: Sequence[str] = (),
    workload_from: WorkloadFrom | None = None,
) -> "tuple[Plan, ClusterFile]":
    """Return the plan of a spec file with overrides, and the cluster file that it is for. Raises InputError."""
    from orchestrator.backends import registry
    from orchestrator.inputs.cluster_config import read_cluster_file
    from orchestrator.inputs.job_files import located
    from orchestrator.inputs.sweep_spec import read_spec
    from orchestrator.sweeps.fit import this_machine
    from orchestrator.sweeps.plan import make_plan

    recorded = None if workload_from is None else take_workload(home, workload_from, overrides)
    if recorded is not None:
        overrides = recorded.overrides
    spec = read_spec(spec_file, spec_document(overrides), registry.names())
    kind = registry.kind(spec.backend)
    if spec.workload.job is not None:
        if not kind.real_time:
            raise InputError(CANNOT_SIMULATE, RUN_INSTEAD)
        job = located(spec.workload.job, home.root)
        spec = spec.replace(workload=spec.workload.replace(job=job))
    cluster = read_cluster_file(
        Path(spec.cluster) if spec.cluster else kind.default_cluster(),
        launch_profile=spec.launch_profile,
        instance_types_from=spec.instance_types_from,
        real_nodes=kind.real_time and kind.cloud is None,
    )
    kind.check(cluster)
    if kind.cloud is not None:
        cluster = kind.cloud.complete(cluster)
    if boot_from and kind.real_time:
        raise InputError("--boot-from is for the simulator", "nodes of a real backend take the time that they take")
    if boot_from and spec.launch_profile is not None:
        raise InputError("--boot-from and --launch-profile both set the latencies", "leave one of them out")
    if boot_from:
        cluster = _with_measured_latencies(home, cluster, boot_from)
    elif recorded is not None and spec.launch_profile is None:
        cluster = recorded.with_latencies(cluster)
    plan = make_plan(spec, cluster, this_machine())
    if recorded is not None:
        plan = replace(plan, assumptions=(*plan.assumptions, *recorded.assumptions))
    return plan, cluster


def changes_of(backend: str, cluster: "ClusterFile") -> Sequence[str]:
    """Return the lines of a diff between a cluster file and what a backend in a cloud launches; none for others."""
    from orchestrator.backends import registry

    cloud = registry.kind(backend).cloud
    return () if cloud is None else cloud.changes(cluster)


def _with_measured_latencies(home: Home, cluster: "ClusterFile", sources: Sequence[str]) -> "ClusterFile":
    from orchestrator.analysis.trial.latencies import fitted
    from orchestrator.inputs.launch_profiles import MEASURED
    from orchestrator.trace.file import read_trace

    traces = [read_trace(path).events for source in sources for path in home.trace_files(source)]
    shape = cluster.shape
    try:
        launch = fitted(shape.launch, [worker.name for worker in shape.launchable if worker.max_workers], traces)
    except ValueError as error:
        raise InputError(f"--boot-from: {error}", "name a sweep of a cluster with the same node types") from None
    text = f"{MEASURED} {', '.join(sources)}"
    return replace(cluster, shape=shape.replace(launch=launch), launch_text=text)
