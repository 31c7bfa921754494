"""`orchestrate sweep`: plan and run a sweep."""

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from orchestrator.cli import annotate, metrics, stack
from orchestrator.cli.context import Context, check_json_target, console, write_json
from orchestrator.cli.parallel import Parallel, automatic, parse_parallel
from orchestrator.cli.values import parse_duration, parse_faults, parse_list, parse_pairs, parse_set
from orchestrator.errors import InputError

if TYPE_CHECKING:
    from rich.console import Console

    from orchestrator.backends.base import Backend
    from orchestrator.backends.clusterfile import ClusterFile
    from orchestrator.model.spec import SweepSpec
    from orchestrator.sweep.ledger import Ledger, SweepRecord
    from orchestrator.sweep.plan import Plan
    from orchestrator.sweep.runner import SweepFolder

    Starter = Callable[[SweepFolder], Backend]

EXAMPLES = """Examples:

  orchestrate sweep --upscaling-speed 1,5,10

  orchestrate sweep --upscaling-speed 1,10 --idle-timeout-minutes 0.25,1 --repeat 5 --order random

  orchestrate sweep --autoscaler v1,v2 --set max_concurrent_launches=1,10 --dry-run

  orchestrate sweep --backend simulated --upscaling-speed 1,10 --fault kill@60 --fault spot@2/h

  orchestrate sweep --backend docker --upscaling-speed 1,5,10 --fault kill@20

  orchestrate sweep --spec sweep.yaml --json result.json

  orchestrate sweep --resume @last
"""


@dataclass(frozen=True)
class _Execution:
    """How a sweep is run, which makes no difference to what it shows."""

    engine: Parallel | None
    metrics_port: int | None
    json_file: str | None
    annotations: annotate.Target | None = None
    stack: bool = False

    def ready(self, common: Context, spec: "SweepSpec") -> "_Execution":
        """The same once it is clear that it can be done so for this spec."""
        in_real_time = {"--annotate": self.annotations, "--metrics-port": self.metrics_port, "--stack": self.stack}
        for option, given in in_real_time.items():
            if given and spec.backend == "simulated":
                raise InputError(f"{option} is for trials in real time", "a simulated one: orchestrate push")
        port = metrics.check_default(self.metrics_port, "--stack") if self.stack else self.metrics_port
        if self.engine is None:
            return replace(self, metrics_port=port)
        if spec.backend != "simulated":
            raise InputError("--parallel is for the simulator", "a real cluster runs one trial at a time")
        return replace(self, engine=self.engine.ready(common))


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
    common: Context = context.obj
    if json_file is not None:
        check_json_target(json_file)
    metrics.check_port(metrics_port)
    engine, target = parse_parallel(parallel, address), annotate.parse_target(annotate_url)
    how = _Execution(engine, metrics_port, json_file, target, with_stack)
    if resume is not None:
        if dry_run:
            raise InputError("--resume has no --dry-run", f"what is left of the sweep: orchestrate show {resume}")
        return _resume(common, resume, spec, {**flags, "boot_from": boot_from}, how)
    plan, cluster_file = plan_sweep(common, spec, flags, boot_from or [])
    how = how.ready(common, plan.spec)
    from orchestrator.report.tables import plan_tables

    out = console(stderr=json_file == "-")
    out.print(plan_tables(plan))
    if dry_run:
        _foresee(plan, out)
        return 0
    start = _starter(common, plan.spec, cluster_file, how)
    from orchestrator.sweep.runner import SweepFolder, begin_sweep, new_sweep_id

    with stack.beside(common.home, wanted=how.stack):
        ledger = common.ledger()
        sweep_id = new_sweep_id()
        folder = SweepFolder.of(common.home, sweep_id)
        folder.root.mkdir(parents=True)
        shutil.copy(cluster_file.path, folder.cluster)
        begin_sweep(ledger, plan, sweep_id)
        return _run(common, ledger, sweep_id, plan.spec, how, start)


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
    common: Context, spec_file: Path | None, flags: dict[str, Any], boot_from: list[str]
) -> "tuple[Plan, ClusterFile]":
    """The trials of a spec file with flags above it, and the cluster file that they are for. Raises InputError."""
    from orchestrator.backends.clusterfile import read_cluster_file
    from orchestrator.backends.fit import this_machine
    from orchestrator.bundle import bundled
    from orchestrator.rayapi.virtual import require_supported_ray
    from orchestrator.sweep.plan import make_plan
    from orchestrator.sweep.specfile import read_spec

    spec = read_spec(spec_file, flags)
    if spec.backend == "simulated":
        require_supported_ray()
    cluster = read_cluster_file(Path(spec.cluster) if spec.cluster else bundled(f"cluster/{spec.backend}.yaml"))
    if boot_from and spec.backend != "simulated":
        raise InputError("--boot-from is for the simulator", "nodes of a real backend take the time that they take")
    if boot_from:
        cluster = _with_measured_latencies(common, cluster, boot_from)
    return make_plan(spec, cluster, this_machine()), cluster


def _foresee(plan: "Plan", out: "Console") -> None:
    """Print what the simulator expects; a plan is a plan without it."""
    from orchestrator.errors import MissingPrerequisite
    from orchestrator.report.tables import foresight_table
    from orchestrator.sweep.foresight import MAX_SETTINGS, foresee

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


def _with_measured_latencies(common: Context, cluster: "ClusterFile", sources: list[str]) -> "ClusterFile":
    from orchestrator.analysis.latencies import fitted
    from orchestrator.model.shape import ClusterShape
    from orchestrator.observer.trace import read_trace

    traces = [read_trace(path).events for source in sources for path in common.trace_files(source)]
    shape = cluster.shape
    try:
        launch = fitted(shape.launch, [worker.name for worker in shape.workers if worker.max_workers], traces)
    except ValueError as error:
        raise InputError(f"--boot-from: {error}", "name a sweep of a cluster with the same node types") from None
    return replace(cluster, shape=ClusterShape(**{**dict(shape), "launch": launch}))


def _resume(
    common: Context,
    wanted: str,
    spec_file: Path | None,
    flags: dict[str, Any],
    how: "_Execution",
) -> int:
    from orchestrator.backends.clusterfile import read_cluster_file
    from orchestrator.model.spec import SweepSpec
    from orchestrator.sweep.runner import SweepFolder, take_over

    backend = flags.pop("backend")
    values = [each for flag in flags.values() for each in (flag.values() if isinstance(flag, dict) else [flag])]
    if spec_file is not None or any(value is not None for value in values):
        raise InputError("--resume goes on with a sweep as it was planned", "leave the other options out")
    ledger = common.ledger()
    record, trial = ledger.find(wanted)
    if trial is not None:
        raise InputError(f"--resume: {wanted!r} is a trial", f"its sweep is {record.sweep_id}")
    if backend not in (None, record.backend):
        raise InputError(
            f"--resume: sweep {record.sweep_id} is one of the {record.backend} backend",
            f"orchestrate sweep --resume {record.sweep_id}",
        )
    planned = SweepSpec.model_validate(record.spec)
    how = how.ready(common, planned)
    cluster = read_cluster_file(SweepFolder.of(common.home, record.sweep_id).cluster)
    start = _starter(common, planned, cluster, how)
    with stack.beside(common.home, wanted=how.stack):
        take_over(ledger, record)
        return _run(common, ledger, record.sweep_id, planned, how, start)


def _run(
    common: Context,
    ledger: "Ledger",
    sweep_id: str,
    spec: "SweepSpec",
    how: "_Execution",
    start: "Starter",
) -> int:
    from orchestrator.observer.exporter import Exporter
    from orchestrator.report.counting import CountingView
    from orchestrator.report.document import sweep_document
    from orchestrator.report.live import LiveView
    from orchestrator.report.tables import sweep_table
    from orchestrator.sweep.runner import Runner, SweepFolder, prices_of

    folder = SweepFolder.of(common.home, sweep_id)
    backend = start(folder)
    planned = ledger.sweep(sweep_id)
    trials = [record.trial for record in planned.trials]
    progress = console(stderr=True)
    progress.print(f"sweep {sweep_id}: {len(trials)} trials, traces in {folder.root}")
    exporter = Exporter(sweep_id, prices=prices_of(planned), observer=lambda: backend.observer)
    port = 0 if spec.backend == "simulated" else how.metrics_port
    try:
        with (
            metrics.serving(exporter, backend.targets, port, progress),
            annotate.annotating(how.annotations, sweep_id, progress) as annotators,
            (CountingView if spec.backend == "simulated" else LiveView)(progress, trials) as view,
        ):
            record = Runner(ledger, backend, folder, [view, *([] if port == 0 else [exporter]), *annotators]).run(
                sweep_id
            )
    except KeyboardInterrupt:
        progress.print(f"finished trials are kept; go on with: orchestrate sweep --resume {sweep_id}")
        raise
    console(stderr=how.json_file == "-").print(sweep_table(record))
    if how.json_file is not None:
        write_json(how.json_file, sweep_document(record).model_dump(mode="json"))
    return _exit_code(record)


def _starter(common: Context, spec: "SweepSpec", cluster: "ClusterFile", how: _Execution) -> "Starter":
    """Makes the backend once there is a folder. What it needs of this machine is seen to before anything is written."""
    annotate.check(how.annotations, console(stderr=True))
    if spec.backend == "simulated":
        from orchestrator.backends.simulated import SimulatedBackend

        engine = how.engine or automatic()
        return lambda folder: SimulatedBackend(
            timeout_s=spec.timeout_s, start_engine=engine.starter(), hesitate=engine.hesitate
        )
    from orchestrator.backends.live import LiveBackend

    make: Callable[..., LiveBackend]
    if spec.backend == "docker":
        from orchestrator.backends.docker.backend import DockerBackend, prepare

        progress = console(stderr=True)
        with progress.status("looking for Docker…") as status:
            host = prepare(
                cluster, spec.image, note=lambda line: progress.print(f"note: {line}"), progress=status.update
            )
        make = partial(DockerBackend, host=host)
    else:
        from orchestrator.backends.local.backend import LocalBackend

        make = LocalBackend
    return lambda folder: make(
        common.home, cluster.raw, isolation=spec.isolation, timeout_s=spec.timeout_s, logs_dir=folder.ray_logs
    )


def _exit_code(record: "SweepRecord") -> int:
    return 0 if all(trial.status == "done" for trial in record.trials) else 1
