"""What the options of a sweep mean: a spec, the plan of its trials, and what the simulator expects of them."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator.cli.console import console
from orchestrator.cli.parsing import parse_duration, parse_faults, parse_list, parse_pairs, parse_set
from orchestrator.errors import InputError
from orchestrator.lab.home import Home

if TYPE_CHECKING:
    from rich.console import Console

    from orchestrator.inputs.cluster_config import ClusterFile
    from orchestrator.sweep.plan import Plan


def spec_flags(given: Mapping[str, Any]) -> dict[str, Any]:
    """What the options of `sweep`, by their names there, say of a spec; nested like its file. Raises InputError."""
    return {
        "name": given["name"],
        "backend": given["backend"],
        "cluster": None if given["cluster"] is None else str(given["cluster"]),
        "image": given.get("image"),
        "fit": given["fit"],
        "settings": {
            "upscaling_speed": parse_list("--upscaling-speed", given["upscaling_speed"], float),
            "idle_timeout_minutes": parse_list("--idle-timeout-minutes", given["idle_timeout_minutes"], float),
            "target_utilization_fraction": parse_list(
                "--target-utilization-fraction", given["target_utilization_fraction"], float
            ),
            "autoscaler": parse_list("--autoscaler", given["autoscaler"]),
            **parse_set(given["set_"] or ()),
        },
        "workload": {
            "tasks": given["tasks"],
            "seconds": given["task_seconds"],
            "cpus": given["task_cpus"],
            "resources": parse_pairs("--task-resources", given["task_resources"] or (), float) or None,
            "kind": given["task_kind"],
            "arrival": given["arrival"],
            "arrival_s": given["arrival_s"],
            "waves": given["waves"],
            "faults": parse_faults(given["fault"] or ()),
        },
        "repeat": given["repeat"],
        "order": given["order"],
        "seed": given["seed"],
        "isolation": given["isolation"],
        "prices": given["prices"],
        "timeout_s": parse_duration("--timeout", given["timeout"]),
    }


def plan_sweep(
    common: Home, spec_file: Path | None, flags: dict[str, Any], boot_from: list[str]
) -> "tuple[Plan, ClusterFile]":
    """The trials of a spec file with flags above it, and the cluster file that they are for. Raises InputError."""
    from orchestrator.assets import bundled
    from orchestrator.inputs.cluster_config import read_cluster_file
    from orchestrator.inputs.sweep_spec import read_spec
    from orchestrator.rayapi.virtual.patching import require_supported_ray
    from orchestrator.sweep.fit import this_machine
    from orchestrator.sweep.plan import make_plan

    spec = read_spec(spec_file, flags)
    if spec.backend == "simulated":
        require_supported_ray()
    cluster = read_cluster_file(Path(spec.cluster) if spec.cluster else bundled(f"cluster/{spec.backend}.yaml"))
    if spec.backend == "docker":
        from orchestrator.backends.docker.node_config import container_configs, dashboard_port

        container_configs(cluster)
        dashboard_port(cluster)
    if boot_from and spec.backend != "simulated":
        raise InputError("--boot-from is for the simulator", "nodes of a real backend take the time that they take")
    if boot_from:
        cluster = _with_measured_latencies(common, cluster, boot_from)
    return make_plan(spec, cluster, this_machine()), cluster


def foresee_plan(plan: "Plan", out: "Console") -> None:
    """Print what the simulator expects; a plan is a plan without it."""
    from orchestrator.errors import MissingPrerequisite
    from orchestrator.replay.prediction import MAX_SETTINGS, foresee
    from orchestrator.report.terminal.tables import foresight_table

    out.print()
    if (left_out := len(plan.settings) - MAX_SETTINGS) > 0:
        out.print(f"note: predicted are the first {MAX_SETTINGS} settings, not the {left_out} others")
    try:
        with console(stderr=True).status("simulating the plan…"):
            foresight = foresee(plan)
    except MissingPrerequisite as error:
        out.print(f"note: no prediction: {error.message}")
        return
    out.print(foresight_table(foresight))


def _with_measured_latencies(common: Home, cluster: "ClusterFile", sources: list[str]) -> "ClusterFile":
    from orchestrator.analysis.trial.latencies import fitted
    from orchestrator.model.cluster import ClusterShape
    from orchestrator.trace.file import read_trace

    traces = [read_trace(path).events for source in sources for path in common.trace_files(source)]
    shape = cluster.shape
    try:
        launch = fitted(shape.launch, [worker.name for worker in shape.workers if worker.max_workers], traces)
    except ValueError as error:
        raise InputError(f"--boot-from: {error}", "name a sweep of a cluster with the same node types") from None
    return replace(cluster, shape=ClusterShape(**{**dict(shape), "launch": launch}))
