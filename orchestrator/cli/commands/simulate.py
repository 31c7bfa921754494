"""`orchestrate simulate`: a sweep in virtual time, or a search for the best settings."""

import typer

from orchestrator.backends.registry import SIMULATED
from orchestrator.cli import options as cli
from orchestrator.cli.commands import simulate_optimise, sweep
from orchestrator.cli.parsing import parse_workload_from
from orchestrator.cli.sweep_options import SweepOptions
from orchestrator.errors import InputError
from orchestrator.lab.parallel import parse_parallel
from orchestrator.lab.run import Execution

EXAMPLES = """Examples:

  orchestrate simulate --upscaling-speed 1,5,10

  orchestrate simulate --autoscaler v1,v2 --upscaling-speed 1,5,10 --idle-timeout-minutes 1,5 --repeat 10

  orchestrate simulate --cluster my-cluster.yaml --tasks 10000 --task-seconds 30

  orchestrate simulate --boot-from @last --upscaling-speed 1,10

  orchestrate simulate --upscaling-speed 1,2,5,10,20 --repeat 50 --parallel ray --address 127.0.0.1:6379

  orchestrate simulate --target-utilization-fraction 0.1,0.8 --autoscaler v1

  orchestrate simulate --workload-from 3f2a90c1 --idle-timeout-minutes 1,5,15 --upscaling-speed 1,10

  orchestrate simulate --workload-from today.jsonl --between 09:00,17:00 --scale-load 2

  orchestrate simulate --optimise 'makespan_s + 100*cost_usd' --upscaling-speed 0.5,20
"""


def simulate(
    context: typer.Context,
    upscaling_speed: cli.UpscalingSpeed = None,
    idle_timeout_minutes: cli.IdleTimeoutMinutes = None,
    target_utilization_fraction: cli.TargetUtilizationFraction = None,
    autoscaler: cli.Autoscaler = None,
    set_: cli.Set = None,
    optimise: cli.Optimise = None,
    candidates: cli.CandidateCount = None,
    workload_from: cli.RecordedWorkload = None,
    scale_load: cli.ScaleLoad = None,
    between: cli.Between = None,
    only_shape: cli.OnlyShape = None,
    job: cli.JobToRefuse = None,
    tasks: cli.Tasks = None,
    task_seconds: cli.TaskSeconds = None,
    task_cpus: cli.TaskCpus = None,
    task_resources: cli.TaskResources = None,
    task_kind: cli.Kind = None,
    arrival: cli.ArrivalPattern = None,
    arrival_s: cli.ArrivalSeconds = None,
    waves: cli.WaveCount = None,
    fault: cli.FaultList = None,
    cluster: cli.ClusterConfig = None,
    image: cli.Image = None,
    boot_from: cli.BootFrom = None,
    launch_profile: cli.LaunchProfile = None,
    instance_types_from: cli.TypesFrom = None,
    prices: cli.PriceList = None,
    repeat: cli.Repeat = None,
    order: cli.TrialOrder = None,
    seed: cli.Seed = None,
    timeout: cli.TrialTimeout = None,
    name: cli.SweepName = None,
    spec: cli.SpecFile = None,
    resume: cli.Resume = None,
    keep_invalid: cli.KeepInvalid = False,
    parallel: cli.ParallelWork = None,
    address: cli.RayAddress = None,
    dry_run: cli.DryRun = False,
    json_file: cli.JsonFile = None,
) -> int:
    """Run a sweep in virtual time: Ray's own autoscaler code on a simulated cloud. Hours take moments."""
    request = sweep.Request(
        options=SweepOptions(
            upscaling_speed=upscaling_speed,
            idle_timeout_minutes=idle_timeout_minutes,
            target_utilization_fraction=target_utilization_fraction,
            autoscaler=autoscaler,
            set_=set_,
            backend=SIMULATED.name,
            cluster=cluster,
            image=image,
            launch_profile=launch_profile,
            instance_types_from=instance_types_from,
            job=job,
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
            prices=prices,
            timeout=timeout,
            name=name,
        ),
        spec=spec,
        boot_from=boot_from or [],
        resume=resume,
        execution=Execution(engine=parse_parallel(parallel, address), keep_invalid=keep_invalid),
        dry_run=dry_run,
        json_file=json_file,
        workload_from=parse_workload_from(workload_from, scale_load, between, only_shape),
    )
    if optimise is not None:
        return simulate_optimise.run(context.obj, request, optimise, candidates)
    if candidates is not None:
        raise InputError("--candidates is for --optimise", "for example --optimise cost")
    return sweep.run(context.obj, request)
