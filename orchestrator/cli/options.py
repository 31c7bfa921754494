"""Each option and argument that commands share, declared once."""

from pathlib import Path
from typing import Annotated

import typer

from orchestrator.backends import registry
from orchestrator.cli.completion import (
    complete_backend,
    complete_objective,
    complete_prices,
    complete_profile,
    complete_sweep,
    complete_sweep_or_trial,
    offering,
)
from orchestrator.cli.help import option
from orchestrator.lab.search import DEFAULT_CANDIDATES
from orchestrator.model import arrivals
from orchestrator.model.spec import Fit, InstanceTypesFrom, Isolation, Order
from orchestrator.model.workload import TaskKind

TRY = "What to try"
WORKLOAD = "Workload"
CLUSTER = "Cluster"
RUN = "Run"
WATCHING = "Watching"
OUTPUT = "Output"


def known_backend(value: str | None) -> str | None:
    """Return the name of a backend as it was typed. Raises BadParameter for any other."""
    if value is not None and value not in (names := registry.names()):
        raise typer.BadParameter(f"{value!r} is not one of {', '.join(map(repr, names))}.")
    return value


def _known_arrival(value: str | None) -> str | None:
    if value is not None and value.partition(":")[0] not in arrivals.ARRIVALS:
        raise typer.BadParameter(f"{value!r} is not one of {', '.join(map(repr, arrivals.names()))}.")
    return value


# What to try. These options take lists and may be repeated: the values of all are tried.

UpscalingSpeed = Annotated[
    list[str] | None,
    option("--upscaling-speed", metavar="A,B,...", help="Upscaling speeds to try, such as 1,5,10.", panel=TRY),
]
IdleTimeoutMinutes = Annotated[
    list[str] | None,
    option("--idle-timeout-minutes", metavar="A,B,...", help="Idle timeouts to try, in minutes.", panel=TRY),
]
TargetUtilizationFraction = Annotated[
    list[str] | None,
    option(
        "--target-utilization-fraction",
        metavar="A,B,...",
        help="Fractions to try. Only --autoscaler v1 reads a fraction f: it means an upscaling speed of 1/f - 1.",
        panel=TRY,
    ),
]
Autoscaler = Annotated[
    list[str] | None,
    option(
        "--autoscaler",
        metavar="v1|v2|v1,v2",
        help="Versions of Ray's autoscaler to try.  [default: v2]",
        panel=TRY,
        autocompletion=offering("v1", "v2", "v1,v2"),
    ),
]
Set = Annotated[
    list[str] | None,
    option("--set", metavar="KEY=A,B", help="Values to try for any other setting; can be repeated.", panel=TRY),
]
Optimise = Annotated[
    str | None,
    option(
        "--optimise",
        metavar="EXPRESSION",
        help="Search for the settings with the lowest cost, makespan, or arithmetic over a summary's numbers, and print"
        " the best. The values of a setting are then its bounds, and --repeat is 3.",
        panel=TRY,
        autocompletion=complete_objective,
    ),
]
CandidateCount = Annotated[
    int | None,
    option("--candidates", help=f"Settings that --optimise tries.  [default: {DEFAULT_CANDIDATES}]", panel=TRY),
]

# Workload

JobCommand = Annotated[
    str | None,
    option(
        "--job",
        metavar="COMMAND",
        help="Run your own script, such as 'python train.py', in place of the stress job. It is submitted through Ray's"
        " jobs API, unchanged. Its tasks and actors come from Ray's own records.",
        panel=WORKLOAD,
    ),
]
JobToRefuse = Annotated[str | None, typer.Option("--job", hidden=True)]
"""For commands that can't run a job, and say why."""
WorkingDir = Annotated[
    Path | None,
    option(
        "--working-dir", metavar="FOLDER", help="Folder with the script, which Ray uploads for --job.", panel=WORKLOAD
    ),
]
RuntimeEnv = Annotated[
    Path | None,
    option(
        "--runtime-env", metavar="FILE", help="Runtime environment for --job: YAML in Ray's format.", panel=WORKLOAD
    ),
]
Tasks = Annotated[int | None, option("--tasks", help="Number of tasks of the stress job.", panel=WORKLOAD)]
TaskSeconds = Annotated[float | None, option("--task-seconds", help="Seconds that each task takes.", panel=WORKLOAD)]
TaskCpus = Annotated[float | None, option("--task-cpus", help="CPUs that each task holds.", panel=WORKLOAD)]
TaskResources = Annotated[
    list[str] | None,
    option(
        "--task-resources",
        metavar="NAME=AMOUNT",
        help="Resource that each task needs in addition to CPUs, such as GPU=0.5, memory=2e9 (bytes) or Graviton=0.1;"
        " can be repeated.",
        panel=WORKLOAD,
    ),
]
Kind = Annotated[
    TaskKind | None, option("--task-kind", help="Let tasks sleep, or burn to keep cores busy.", panel=WORKLOAD)
]
ArrivalPattern = Annotated[
    str | None,
    option(
        "--arrival",
        metavar=f"[{'|'.join(arrivals.names())}]",
        help=f"Pattern in which tasks arrive: {arrivals.help_text()}. A parameter of its own follows the name, as in"
        " NAME:PARAMETER=VALUE.  [default: burst]",
        panel=WORKLOAD,
        callback=_known_arrival,
        autocompletion=offering(*arrivals.names()),
    ),
]
ArrivalSeconds = Annotated[
    float | None,
    option("--arrival-s", help="Seconds over which tasks arrive (ignored for burst).", panel=WORKLOAD),
]
WaveCount = Annotated[int | None, option("--waves", help="Number of waves, for --arrival waves.", panel=WORKLOAD)]
RecordedWorkload = Annotated[
    str | None,
    option(
        "--workload-from",
        metavar="ID|FILE",
        help="Replay the workload of an observation, a recorded trial or a trace, on its cluster and with the launch"
        " latencies met then. Settings that you don't name are those of the record.",
        panel=WORKLOAD,
        autocompletion=complete_sweep_or_trial,
    ),
]
ScaleLoad = Annotated[
    float | None,
    option("--scale-load", metavar="FACTOR", help="So many times the tasks of --workload-from.", panel=WORKLOAD),
]
Between = Annotated[
    str | None,
    option(
        "--between",
        metavar="HH:MM,HH:MM",
        help="Only tasks of --workload-from that were submitted at these times of day, in this machine's zone.",
        panel=WORKLOAD,
    ),
]
OnlyShape = Annotated[
    str | None,
    option("--only-shape", metavar="CPU=4", help="Only tasks of --workload-from of this shape.", panel=WORKLOAD),
]
FaultList = Annotated[
    list[str] | None,
    option(
        "--fault",
        metavar="KIND@SECONDS",
        help="Inject a failure: kill@20, pause@30+15, partition@30+10 or spot@12/h, each optionally followed by"
        " :NODE_TYPE; can be repeated.",
        panel=WORKLOAD,
    ),
]

# Cluster

Backend = Annotated[
    str | None,
    option(
        "--backend",
        metavar=f"[{'|'.join(kind.name for kind in registry.BUILT_IN)}]",
        help="Where trials run: processes or containers on this machine, machines in your AWS account, virtual time, or"
        f" a backend of an installed package.  [default: {registry.LOCAL.name}]",
        panel=CLUSTER,
        callback=known_backend,
        autocompletion=complete_backend,
    ),
]
ClusterConfig = Annotated[
    Path | None,
    option(
        "--cluster",
        metavar="FILE",
        help="Cluster config in Ray's format.  [default: the built-in cluster/BACKEND.yaml]",
        panel=CLUSTER,
    ),
]
Image = Annotated[
    str | None,
    option("--image", help="Image with Ray, for docker.  [default: built from cluster/Dockerfile]", panel=CLUSTER),
]
BootFrom = Annotated[
    list[str] | None,
    option(
        "--boot-from",
        metavar="ID|FILE",
        help="Take the simulator's latencies from a recorded sweep, trial or trace; can be repeated.",
        panel=CLUSTER,
        autocompletion=complete_sweep_or_trial,
    ),
]
LaunchProfile = Annotated[
    str | None,
    option(
        "--launch-profile",
        metavar="NAME",
        help="Latencies to assume for launches: aws-al2023-x86, aws-al2023-arm, aws-baked-image, gcp, kuberay-warm,"
        " kuberay-cold or this-machine.  [default: those of the cluster file, else of its provider]",
        panel=CLUSTER,
        autocompletion=complete_profile,
    ),
]
TypesFrom = Annotated[
    InstanceTypesFrom | None,
    option(
        "--instance-types-from",
        help="Where to look up CPUs, memory and GPUs that the file leaves to the instance type: catalogue (offline), or"
        " aws, with your credentials.  [default: catalogue]",
        panel=CLUSTER,
    ),
]
FitTo = Annotated[
    Fit | None,
    option(
        "--fit",
        help="machine: shrink the cluster so that this machine can hold it; none: keep the file's sizes."
        "  [default: machine]",
        panel=CLUSTER,
    ),
]
PriceList = Annotated[
    str | None,
    option(
        "--prices",
        metavar="REGION|FILE",
        help="Prices of nodes: an AWS region, REGION:spot, or a YAML file.  [default: the region and market of the"
        " cluster file, else us-east-1]",
        panel=CLUSTER,
        autocompletion=complete_prices,
    ),
]

# Run

Repeat = Annotated[int | None, option("--repeat", help="Trials of each setting.  [default: 1]", panel=RUN)]
TrialOrder = Annotated[Order | None, option("--order", help="Order of the trials.  [default: grid]", panel=RUN)]
Seed = Annotated[int | None, option("--seed", help="Seed of order, arrivals and boot times.  [default: 0]", panel=RUN)]
TrialIsolation = Annotated[
    Isolation | None,
    option(
        "--isolation",
        help="Reuse one cluster where possible, or start a fresh one for each trial.  [default: reuse]",
        panel=RUN,
    ),
]
TrialTimeout = Annotated[
    str | None, option("--timeout", metavar="DURATION", help="Longest time for one trial, such as 15m.", panel=RUN)
]
SweepName = Annotated[str | None, option("--name", help="Name of the sweep.", panel=RUN)]
SpecFile = Annotated[
    Path | None, option("--spec", metavar="FILE", help="Sweep spec in YAML; options override it.", panel=RUN)
]
Resume = Annotated[
    str | None,
    option(
        "--resume",
        metavar="SWEEP",
        help="Run the trials of a sweep that aren't done or are invalid; @last is the newest sweep.",
        panel=RUN,
        autocompletion=complete_sweep,
    ),
]
KeepInvalid = Annotated[bool, option("--keep-invalid", help="With --resume: don't repeat invalid trials.", panel=RUN)]
ParallelWork = Annotated[
    str | None,
    option(
        "--parallel",
        metavar="N|auto|ray",
        help="Processes for the simulator. auto: one for each core where that pays off; ray: a Ray cluster."
        "  [default: auto]",
        panel=RUN,
        autocompletion=offering("auto", "ray"),
    ),
]
RayAddress = Annotated[
    str | None,
    option("--address", metavar="HOST:PORT", help="Ray cluster for --parallel ray, as for status.", panel=RUN),
]
Yes = Annotated[
    bool, option("--yes", "-y", help="Agree to what a sweep on a cloud costs, without a question.", panel=RUN)
]
MaxCost = Annotated[
    float | None,
    option(
        "--max-cost",
        metavar="USD",
        help="Agree to costs up to this. No trial begins if it could cross the limit, and one is ended if it does.",
        panel=RUN,
    ),
]
DryRun = Annotated[bool, option("--dry-run", help="Print the plan and a prediction, and stop.", panel=RUN)]

# Watching

MetricsPort = Annotated[
    int | None,
    option(
        "--metrics-port",
        metavar="PORT",
        help="Serve /metrics, /sd and /healthz on this port; 0: don't.  [default: 9477]",
        panel=WATCHING,
    ),
]
MetricsHost = Annotated[
    str | None,
    option(
        "--metrics-host",
        metavar="HOST",
        help="Address to serve metrics on; 0.0.0.0: all of this machine's.  [default: 127.0.0.1]",
        panel=WATCHING,
    ),
]
MetricsTokenFile = Annotated[
    Path | None,
    option(
        "--metrics-token-file",
        metavar="FILE",
        help="File with a bearer token that readers of metrics need."
        "  [default: the variable ORCHESTRATE_METRICS_TOKEN, if it is set]",
        panel=WATCHING,
    ),
]
Annotate = Annotated[
    str | None,
    option(
        "--annotate",
        metavar="URL",
        help="Write trials and scaling events into this Grafana as annotations; the token is in"
        " ORCHESTRATE_GRAFANA_TOKEN.",
        panel=WATCHING,
    ),
]
WithStack = Annotated[
    bool,
    option(
        "--stack",
        help="Start the stack first, unless it runs (orchestrate stack up). It keeps running.",
        panel=WATCHING,
    ),
]

# Output

JsonFile = Annotated[
    str | None,
    option(
        "--json",
        metavar="FILE",
        help="Write the result, or with --dry-run the plan, as JSON to a file; - for stdout.",
        panel=OUTPUT,
    ),
]
AsJson = Annotated[bool, option("--json", help="Write JSON to stdout.", panel=OUTPUT)]

# Of commands that look at a cluster

GcsAddress = Annotated[
    str | None,
    option(
        "--address",
        metavar="HOST:PORT",
        help="GCS of the cluster.  [default: the local cluster, or RAY_ADDRESS]",
    ),
]
NodeTypesFile = Annotated[
    Path | None,
    option("--cluster", metavar="FILE", help="Cluster config with the architecture and limits of the node types."),
]

# Arguments

SweepId = Annotated[
    str,
    typer.Argument(metavar="SWEEP", help="A sweep by unique prefix, or @last.", autocompletion=complete_sweep),
]
SweepOrTrialId = Annotated[
    str,
    typer.Argument(
        metavar="ID",
        help="A sweep, a trial or SWEEP/TRIAL by unique prefix, or @last.",
        autocompletion=complete_sweep_or_trial,
    ),
]
