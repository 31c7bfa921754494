"""A sweep that runs: its backend, what watches it, its result, and how it is gone on with."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator.cli.commands import stack
from orchestrator.cli.console import console, write_json
from orchestrator.errors import InputError, Interrupted
from orchestrator.lab import annotate, metrics
from orchestrator.lab.home import Home
from orchestrator.lab.parallel import Parallel, automatic

if TYPE_CHECKING:
    from orchestrator.backends.base import Backend
    from orchestrator.inputs.cluster_config import ClusterFile
    from orchestrator.model.spec import SweepSpec
    from orchestrator.sweep.folder import SweepFolder
    from orchestrator.sweep.ledger import Ledger, SweepRecord
    from orchestrator.sweep.plan import Plan

    Starter = Callable[[SweepFolder], Backend]


@dataclass(frozen=True)
class Execution:
    """How a sweep is run, which makes no difference to what it shows."""

    engine: Parallel | None
    metrics_port: int | None
    json_file: str | None
    annotations: annotate.Target | None = None
    stack: bool = False

    def ready(self, common: Home, spec: "SweepSpec") -> "Execution":
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


def begin(common: Home, plan: "Plan", cluster: "ClusterFile", how: Execution) -> int:
    """Run a plan as a new sweep; returns the exit code."""
    start = _starter(common, plan.spec, cluster, how)
    from orchestrator.sweep.folder import SweepFolder
    from orchestrator.sweep.runner import begin_sweep, new_sweep_id

    with stack.beside(common.root, wanted=how.stack):
        ledger = common.ledger()
        sweep_id = new_sweep_id()
        folder = SweepFolder.of(common.root, sweep_id)
        folder.root.mkdir(parents=True)
        shutil.copy(cluster.path, folder.cluster)
        begin_sweep(ledger, plan, sweep_id)
        console(stderr=True).print(plan.starts)
        return _run(common, ledger, sweep_id, plan.spec, how, start)


def resume(
    common: Home,
    wanted: str,
    spec_file: Path | None,
    flags: dict[str, Any],
    how: Execution,
) -> int:
    """Go on with a sweep as it was planned; returns the exit code. Raises InputError if more than that is asked."""
    from orchestrator.inputs.cluster_config import read_cluster_file
    from orchestrator.model.spec import SweepSpec
    from orchestrator.sweep.folder import SweepFolder
    from orchestrator.sweep.runner import take_over

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
    cluster = read_cluster_file(SweepFolder.of(common.root, record.sweep_id).cluster)
    start = _starter(common, planned, cluster, how)
    with stack.beside(common.root, wanted=how.stack):
        take_over(ledger, record)
        return _run(common, ledger, record.sweep_id, planned, how, start)


def _run(
    common: Home,
    ledger: "Ledger",
    sweep_id: str,
    spec: "SweepSpec",
    how: Execution,
    start: "Starter",
) -> int:
    from orchestrator.metrics.exporter import Exporter
    from orchestrator.report.json_document import sweep_document
    from orchestrator.report.terminal.live_view import LiveView
    from orchestrator.report.terminal.progress import CountingView
    from orchestrator.report.terminal.tables import sweep_table
    from orchestrator.sweep.folder import SweepFolder
    from orchestrator.sweep.runner import Runner, prices_of

    folder = SweepFolder.of(common.root, sweep_id)
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
        if backend.left:
            raise Interrupted("interrupted; not all that was started could be ended", "orchestrate clean") from None
        raise
    finally:
        for why in backend.left:
            progress.print(f"warning: {why}; what is left of it: orchestrate clean")
    console(stderr=how.json_file == "-").print(sweep_table(record))
    if how.json_file is not None:
        write_json(how.json_file, sweep_document(record).model_dump(mode="json"))
    return _exit_code(record)


def _starter(common: Home, spec: "SweepSpec", cluster: "ClusterFile", how: Execution) -> "Starter":
    """Makes the backend once there is a folder. What it needs of this machine is seen to before anything is written."""
    annotate.check(how.annotations, console(stderr=True))
    if spec.backend == "simulated":
        from orchestrator.backends.simulated.backend import SimulatedBackend

        engine = how.engine or automatic()
        return lambda folder: SimulatedBackend(
            timeout_s=spec.timeout_s, start_executor=engine.starter(), lazy=engine.lazy
        )
    from orchestrator.backends.live.backend import LiveBackend

    make: Callable[..., LiveBackend]
    if spec.backend == "docker":
        from orchestrator.backends.docker.backend import DockerBackend, prepare

        progress = console(stderr=True)
        with progress.status("looking for Docker…") as status:
            host = prepare(
                common.root,
                cluster,
                spec.image,
                note=lambda line: progress.print(f"note: {line}"),
                progress=status.update,
            )
        make = partial(DockerBackend, environment=host)
    else:
        from orchestrator.backends.local.backend import LocalBackend

        make = LocalBackend
    return lambda folder: make(
        common.root, cluster.raw, isolation=spec.isolation, timeout_s=spec.timeout_s, logs_dir=folder.ray_logs
    )


def _exit_code(record: "SweepRecord") -> int:
    return 0 if all(trial.status == "done" for trial in record.trials) else 1
