"""`orchestrate sweep`: plan and run a sweep."""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from orchestrator.cli import options as cli
from orchestrator.cli.console import check_json_target, console, is_terminal, reporter, write_json
from orchestrator.cli.sweep_options import SweepOptions
from orchestrator.errors import InputError
from orchestrator.lab import annotate, metrics
from orchestrator.lab.cost import Consent, estimate_cost
from orchestrator.lab.home import Home
from orchestrator.lab.parallel import parse_parallel
from orchestrator.lab.planning import changes_of, plan_sweep
from orchestrator.lab.run import Execution, begin, resume_sweep
from orchestrator.lab.workload_from import WorkloadFrom
from orchestrator.model.job import CANNOT_SIMULATE

if TYPE_CHECKING:
    from rich.console import Console

    from orchestrator.replay.cost import Estimate
    from orchestrator.replay.prediction import Foresight
    from orchestrator.sweeps.ledger import SweepRecord
    from orchestrator.sweeps.plan import Plan

_log = logging.getLogger(__name__)

EXAMPLES = """Examples:

  orchestrate sweep --upscaling-speed 1,5,10

  orchestrate sweep --upscaling-speed 1,10 --idle-timeout-minutes 0.25,1 --repeat 5 --order random

  orchestrate sweep --autoscaler v1,v2 --set max_concurrent_launches=1,10 --dry-run

  orchestrate sweep --backend simulated --upscaling-speed 1,10 --fault kill@60 --fault spot@2/h

  orchestrate sweep --backend docker --upscaling-speed 1,5,10 --fault kill@20

  orchestrate sweep --backend aws --upscaling-speed 1,5,10 --max-cost 10

  orchestrate sweep --job 'python train.py' --working-dir . --upscaling-speed 1,10 --timeout 30m

  orchestrate sweep --spec sweep.yaml --json result.json

  orchestrate sweep --resume @last
"""


@dataclass(frozen=True, kw_only=True)
class Request:
    """A sweep to plan, to run or to resume: the options that aren't part of its spec, and those that are."""

    options: SweepOptions
    spec: Path | None
    boot_from: list[str]
    resume: str | None
    execution: Execution
    dry_run: bool
    json_file: str | None
    workload_from: WorkloadFrom | None = None


def sweep(
    context: typer.Context,
    upscaling_speed: cli.UpscalingSpeed = None,
    idle_timeout_minutes: cli.IdleTimeoutMinutes = None,
    target_utilization_fraction: cli.TargetUtilizationFraction = None,
    autoscaler: cli.Autoscaler = None,
    set_: cli.Set = None,
    job: cli.JobCommand = None,
    working_dir: cli.WorkingDir = None,
    runtime_env: cli.RuntimeEnv = None,
    tasks: cli.Tasks = None,
    task_seconds: cli.TaskSeconds = None,
    task_cpus: cli.TaskCpus = None,
    task_resources: cli.TaskResources = None,
    task_kind: cli.Kind = None,
    arrival: cli.ArrivalPattern = None,
    arrival_s: cli.ArrivalSeconds = None,
    waves: cli.WaveCount = None,
    fault: cli.FaultList = None,
    backend: cli.Backend = None,
    cluster: cli.ClusterConfig = None,
    image: cli.Image = None,
    boot_from: cli.BootFrom = None,
    launch_profile: cli.LaunchProfile = None,
    instance_types_from: cli.TypesFrom = None,
    fit: cli.FitTo = None,
    prices: cli.PriceList = None,
    repeat: cli.Repeat = None,
    order: cli.TrialOrder = None,
    seed: cli.Seed = None,
    isolation: cli.TrialIsolation = None,
    timeout: cli.TrialTimeout = None,
    name: cli.SweepName = None,
    spec: cli.SpecFile = None,
    resume: cli.Resume = None,
    keep_invalid: cli.KeepInvalid = False,
    parallel: cli.ParallelWork = None,
    address: cli.RayAddress = None,
    metrics_port: cli.MetricsPort = None,
    metrics_host: cli.MetricsHost = None,
    metrics_token_file: cli.MetricsTokenFile = None,
    annotate_url: cli.Annotate = None,
    with_stack: cli.WithStack = False,
    yes: cli.Yes = False,
    max_cost: cli.MaxCost = None,
    dry_run: cli.DryRun = False,
    json_file: cli.JsonFile = None,
) -> int:
    """Run the stress job, or your own script, once for each setting on a Ray cluster; report which setting is best."""
    access = metrics.access(metrics_host, metrics_token_file)
    metrics.check_port(metrics_port, access.host)
    return run(
        context.obj,
        Request(
            options=SweepOptions(
                upscaling_speed=upscaling_speed,
                idle_timeout_minutes=idle_timeout_minutes,
                target_utilization_fraction=target_utilization_fraction,
                autoscaler=autoscaler,
                set_=set_,
                backend=backend,
                cluster=cluster,
                image=image,
                launch_profile=launch_profile,
                instance_types_from=instance_types_from,
                fit=fit,
                job=job,
                working_dir=working_dir,
                runtime_env=runtime_env,
                tasks=tasks,
                task_seconds=task_seconds,
                task_cpus=task_cpus,
                task_resources=task_resources,
                task_kind=task_kind,
                arrival=arrival,
                arrival_s=arrival_s,
                waves=waves,
                fault=fault,
                repeat=repeat,
                order=order,
                seed=seed,
                isolation=isolation,
                prices=prices,
                timeout=timeout,
                name=name,
            ),
            spec=spec,
            boot_from=boot_from or [],
            resume=resume,
            execution=Execution(
                engine=parse_parallel(parallel, address),
                metrics_port=metrics_port,
                metrics_access=access,
                annotations=annotate.parse_target(annotate_url),
                stack=with_stack,
                keep_invalid=keep_invalid,
                consent=Consent(yes=yes, max_usd=max_cost, ask=_ask if is_terminal() else None),
            ),
            dry_run=dry_run,
            json_file=json_file,
        ),
    )


def run(home: Home, request: Request) -> int:
    """Do what is requested and print the result; return the exit code."""
    overrides = request.options.spec_overrides()
    if request.json_file is not None:
        check_json_target(request.json_file)
    if request.resume is not None:
        if request.dry_run:
            raise InputError("--resume has no --dry-run", f"the rest of the sweep: orchestrate show {request.resume}")
        others = [value for name, value in overrides.items() if name != "backend"]
        given = any(value is not None for value in (request.spec, request.workload_from, *others))
        if given or request.boot_from:
            raise InputError("--resume runs a sweep as it was planned", "leave the other options out")
        backend = request.options.backend
        record = resume_sweep(home, request.resume, request.execution, reporter(), backend=backend)
        return _finish(record, request.json_file)
    if request.execution.keep_invalid:
        raise InputError("--keep-invalid is for --resume", "for example --resume @last --keep-invalid")
    plan, cluster = plan_sweep(home, request.spec, overrides, request.boot_from, request.workload_from)
    execution = request.execution.ready(home, plan.spec)
    from orchestrator.report.terminal.cost import changes_text, estimate_table
    from orchestrator.report.terminal.tables import plan_tables

    out = console(stderr=request.json_file == "-")
    out.print(plan_tables(plan))
    if request.dry_run:
        foresight = _print_prediction(plan, out)
        cost = estimate_cost(plan, reporter(), foresight) if foresight is not None else None
        if cost is not None:
            out.print(estimate_table(cost))
        if changes := changes_of(plan.spec.backend, cluster):
            out.print(changes_text(changes))
        if request.json_file is not None:
            from orchestrator.report.plan_document import plan_document

            write_json(request.json_file, plan_document(plan, foresight, cost, changes).model_dump(mode="json"))
        return 0
    return _finish(begin(home, plan, cluster, execution, reporter()), request.json_file)


def _ask(estimate: "Estimate") -> bool:
    """Show what a sweep costs, and ask whether to run it."""
    from orchestrator.report.terminal.cost import estimate_table

    console(stderr=True).print(estimate_table(estimate))
    return typer.confirm("Start these machines?", default=False, err=True)


def _finish(record: "SweepRecord", json_file: str | None) -> int:
    from orchestrator.report.json_document import sweep_document
    from orchestrator.report.terminal.tables import sweep_table

    console(stderr=json_file == "-").print(sweep_table(record))
    if json_file is not None:
        write_json(json_file, sweep_document(record).model_dump(mode="json"))
    complete = all(trial.status == "done" for trial in record.trials)
    return 0 if complete and any(trial.valid for trial in record.trials) else 1


def _print_prediction(plan: "Plan", out: "Console") -> "Foresight | None":
    """Print and return the simulator's prediction; without a simulator, print why there is none."""
    from orchestrator.backends.registry import SIMULATED
    from orchestrator.errors import MissingPrerequisite
    from orchestrator.replay.prediction import MAX_SETTINGS, foresee
    from orchestrator.report.terminal.tables import foresight_table

    out.print()
    if plan.workload.job is not None:
        out.print(f"note: no prediction: {CANNOT_SIMULATE}")
        return None
    if not plan.workload.features <= SIMULATED.runs:
        out.print("note: no prediction: the simulator can't run all of this workload")
        return None
    if (left_out := len(plan.settings) - MAX_SETTINGS) > 0:
        out.print(f"note: the prediction has the first {MAX_SETTINGS} settings, without the {left_out} others")
    try:
        with reporter().working("simulating the plan…"):
            foresight = foresee(plan)
    except MissingPrerequisite as error:
        _log.info("no prediction", exc_info=True)
        out.print(f"note: no prediction: {error.message}")
        return None
    out.print(foresight_table(foresight))
    return foresight
