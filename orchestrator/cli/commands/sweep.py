"""`orchestrate sweep`: plan and run a sweep."""

from pathlib import Path
from typing import Annotated

import typer

from orchestrator.cli.console import check_json_target, console
from orchestrator.errors import InputError
from orchestrator.lab import annotate, metrics
from orchestrator.lab.home import Home
from orchestrator.lab.parallel import parse_parallel
from orchestrator.lab.planning import foresee_plan, plan_sweep, spec_flags
from orchestrator.lab.run import Execution, begin
from orchestrator.lab.run import resume as resume_sweep

EXAMPLES = """Examples:

  orchestrate sweep --upscaling-speed 1,5,10

  orchestrate sweep --upscaling-speed 1,10 --idle-timeout-minutes 0.25,1 --repeat 5 --order random

  orchestrate sweep --autoscaler v1,v2 --set max_concurrent_launches=1,10 --dry-run

  orchestrate sweep --backend simulated --upscaling-speed 1,10 --fault kill@60 --fault spot@2/h

  orchestrate sweep --backend docker --upscaling-speed 1,5,10 --fault kill@20

  orchestrate sweep --spec sweep.yaml --json result.json

  orchestrate sweep --resume @last
"""


def sweep(
    context: typer.Context,
    upscaling_speed: Annotated[str | None, typer.Option(help="Values to try, such as 1,5,10.")] = None,
    idle_timeout_minutes: Annotated[str | None, typer.Option(help="Values to try, in minutes.")] = None,
    target_utilization_fraction: Annotated[
        str | None, typer.Option(help="Values to try; only --autoscaler v1 reads them, as a speed of 1/f - 1.")
    ] = None,
    autoscaler: Annotated[str | None, typer.Option(help="v2, v1 or v1,v2.  [default: v2]")] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=A,B", help="Values to try for any other setting; may be repeated."),
    ] = None,
    backend: Annotated[
        str | None,
        typer.Option(help="Where the trials run: local, docker, or simulated in virtual time.  [default: local]"),
    ] = None,
    cluster: Annotated[
        Path | None, typer.Option(help="Cluster config in Ray's format.  [default: the built-in cluster/BACKEND.yaml]")
    ] = None,
    image: Annotated[
        str | None, typer.Option(help="For docker: an image with Ray.  [default: built from cluster/Dockerfile]")
    ] = None,
    boot_from: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ID|FILE",
            help="For the simulator: take latencies as measured in a sweep, a trial or a trace; may be repeated.",
        ),
    ] = None,
    fit: Annotated[
        str | None, typer.Option(help="machine: a shape that this machine can hold; none: the file's own.")
    ] = None,
    tasks: Annotated[int | None, typer.Option(help="Number of tasks of the stress job.")] = None,
    task_seconds: Annotated[float | None, typer.Option(help="Seconds that each task takes.")] = None,
    task_cpus: Annotated[float | None, typer.Option(help="CPUs that each task holds.")] = None,
    task_resources: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=AMOUNT", help="What else each task needs, such as Graviton=0.1; may be repeated."),
    ] = None,
    task_kind: Annotated[str | None, typer.Option(help="sleep, or burn to keep cores busy.")] = None,
    arrival: Annotated[str | None, typer.Option(help="burst, waves, ramp or poisson.  [default: burst]")] = None,
    arrival_s: Annotated[float | None, typer.Option(help="Seconds over which tasks arrive, but for burst.")] = None,
    waves: Annotated[int | None, typer.Option(help="Number of waves.")] = None,
    fault: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KIND@SECONDS",
            help="Let a node fail on purpose: kill@20, pause@30+15, partition@30+10, spot@12/h, each with :NODE_TYPE or"
            " without; may be repeated.",
        ),
    ] = None,
    repeat: Annotated[int | None, typer.Option(help="Trials of each setting.  [default: 1]")] = None,
    order: Annotated[str | None, typer.Option(help="grid or random.  [default: grid]")] = None,
    seed: Annotated[int | None, typer.Option(help="Fixes order, arrivals and boot times.  [default: 0]")] = None,
    isolation: Annotated[
        str | None, typer.Option(help="reuse one cluster where possible, or a fresh one for each trial.")
    ] = None,
    prices: Annotated[
        str | None,
        typer.Option(
            metavar="REGION|FILE",
            help="What nodes cost: an AWS region, REGION:spot, or a YAML file.  [default: us-east-1]",
        ),
    ] = None,
    timeout: Annotated[str | None, typer.Option(help="Longest time for one trial, such as 15m.")] = None,
    name: Annotated[str | None, typer.Option(help="A name for the sweep.")] = None,
    spec: Annotated[Path | None, typer.Option(help="Sweep spec in YAML; flags stand above it.")] = None,
    resume: Annotated[
        str | None, typer.Option(metavar="SWEEP", help="Go on with an unfinished sweep; @last is the newest.")
    ] = None,
    parallel: Annotated[
        str | None,
        typer.Option(
            metavar="N|auto|ray",
            help="For the simulator: processes to use (auto: as many as there are cores, where that is worth it), or"
            " ray for a Ray cluster.  [default: auto]",
        ),
    ] = None,
    address: Annotated[
        str | None, typer.Option(metavar="HOST:PORT", help="The Ray cluster of --parallel ray; as orchestrate status.")
    ] = None,
    metrics_port: Annotated[int | None, typer.Option(metavar="PORT", help=metrics.HELP)] = None,
    annotate_url: Annotated[str | None, typer.Option("--annotate", metavar="URL", help=annotate.HELP)] = None,
    with_stack: Annotated[
        bool,
        typer.Option("--stack", help="Before, start the stack unless it runs (orchestrate stack up); it stays after."),
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan and end.")] = False,
    json_file: Annotated[
        str | None, typer.Option("--json", metavar="FILE", help="Write the result as JSON; - for stdout.")
    ] = None,
) -> int:
    """Run the stress job once for each setting on a Ray cluster, and say which setting does better."""
    flags = spec_flags(locals())
    common: Home = context.obj
    if json_file is not None:
        check_json_target(json_file)
    metrics.check_port(metrics_port)
    engine, target = parse_parallel(parallel, address), annotate.parse_target(annotate_url)
    how = Execution(engine, metrics_port, json_file, target, with_stack)
    if resume is not None:
        if dry_run:
            raise InputError("--resume has no --dry-run", f"what is left of the sweep: orchestrate show {resume}")
        return resume_sweep(common, resume, spec, {**flags, "boot_from": boot_from}, how)
    plan, cluster_file = plan_sweep(common, spec, flags, boot_from or [])
    how = how.ready(common, plan.spec)
    from orchestrator.report.terminal.tables import plan_tables

    out = console(stderr=json_file == "-")
    out.print(plan_tables(plan))
    if dry_run:
        foresee_plan(plan, out)
        return 0
    return begin(common, plan, cluster_file, how)
