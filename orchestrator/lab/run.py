"""Runs a sweep, new or resumed: its backend, its watchers, its result."""

import logging
import shutil
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from orchestrator.backends import registry
from orchestrator.errors import InputError, Interrupted, MissingPrerequisite
from orchestrator.lab import annotate, metrics
from orchestrator.lab.cost import Consent, agree, budget_of, estimate_cost
from orchestrator.lab.home import Home
from orchestrator.lab.parallel import Parallel, automatic
from orchestrator.lab.preflight import require_ready
from orchestrator.lab.progress import Reporter
from orchestrator.lab.stack import stack_running
from orchestrator.logs import recording
from orchestrator.private_files import check_private_folder, make_private_folder
from orchestrator.version import __version__

if TYPE_CHECKING:
    from orchestrator.backends.base import Backend
    from orchestrator.inputs.cluster_config import ClusterFile
    from orchestrator.model.billing import Rates
    from orchestrator.model.spec import SweepSpec
    from orchestrator.sweeps.budget import Budget
    from orchestrator.sweeps.folder import SweepFolder
    from orchestrator.sweeps.ledger import Ledger, SweepRecord
    from orchestrator.sweeps.plan import Plan

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Execution:
    """Options of a run that don't change what a sweep measures."""

    engine: Parallel | None = None
    metrics_port: int | None = None
    metrics_access: metrics.Access = metrics.ANYBODY_HERE
    annotations: annotate.Target | None = None
    stack: bool = False
    keep_invalid: bool = False
    consent: Consent = field(default_factory=Consent)

    def ready(self, common: Home, spec: "SweepSpec") -> "Execution":
        """Return the same with ports and addresses filled in. Raises InputError for what this spec can't have."""
        in_real_time = {"--annotate": self.annotations, "--metrics-port": self.metrics_port, "--stack": self.stack}
        kind = registry.kind(spec.backend)
        real_time = kind.real_time
        if kind.cloud is None and self.consent.max_usd is not None:
            raise InputError(f"--max-cost: the {spec.backend} backend costs nothing", "leave it out")
        self.consent.check()
        for option, given in in_real_time.items():
            if given and not real_time:
                raise InputError(f"{option} is for trials in real time", "a simulated one: orchestrate push")
        port = metrics.check_default(self.metrics_port, "--stack") if self.stack else self.metrics_port
        if self.engine is None:
            return replace(self, metrics_port=port)
        if real_time:
            raise InputError("--parallel is for the simulator", "a real cluster runs one trial at a time")
        return replace(self, engine=self.engine.ready(common))


def begin(common: Home, plan: "Plan", cluster: "ClusterFile", how: Execution, reporter: Reporter) -> "SweepRecord":
    """Run a plan as a new sweep; return the sweep as it ended."""
    from orchestrator.sweeps.folder import SweepFolder
    from orchestrator.sweeps.runner import begin_sweep, claimed, new_sweep_id

    sweep_id = new_sweep_id()
    folder = SweepFolder.of(common.root, sweep_id)
    budget = _agreed(common, plan, cluster, how, reporter)
    backend = _create_backend(common, plan.spec, cluster, how, folder, reporter, plan.rates)
    with stack_running(common.root, wanted=how.stack, reporter=reporter):
        ledger = common.ledger()
        _make_folder(folder)
        with claimed(folder):
            shutil.copy(cluster.path, folder.cluster)
            begin_sweep(ledger, plan, sweep_id)
            reporter.say(plan.starts)
            return _run(common, ledger, sweep_id, plan.spec, how, backend, reporter, budget)


def _agreed(common: Home, plan: "Plan", cluster: "ClusterFile", how: Execution, reporter: Reporter) -> "Budget | None":
    """Return the limit of what a sweep may cost, after its account was checked and the user has agreed to its cost."""
    from orchestrator.backends.live.ownership import ensure_token
    from orchestrator.rayapi.environment import authenticate

    require_ready(registry.kind(plan.spec.backend), cluster, reporter)
    if plan.rates is not None:
        # The prediction loads Ray, which reads its token only then.
        authenticate(ensure_token(common.root))
    estimate = estimate_cost(plan, reporter)
    if estimate is not None:
        agree(estimate, how.consent)
    return budget_of(estimate, how.consent)


def resume_sweep(
    common: Home,
    wanted: str,
    how: Execution,
    reporter: Reporter,
    *,
    backend: str | None = None,
) -> "SweepRecord":
    """Run the trials of a sweep that aren't done or are invalid; return it as it ended.

    Raises InputError if its backend isn't `backend`.
    """
    from orchestrator.inputs.cluster_config import read_cluster_file
    from orchestrator.model.spec import SweepSpec
    from orchestrator.sweeps.folder import SweepFolder
    from orchestrator.sweeps.runner import check_ended, claimed, plan_of, take_over, trials_to_run

    ledger = common.ledger()
    record, trial = ledger.find(wanted)
    if trial is not None:
        raise InputError(f"--resume: {wanted!r} is a trial", f"its sweep is {record.sweep_id}")
    if backend not in (None, record.backend):
        raise InputError(
            f"--resume: sweep {record.sweep_id} is one of the {record.backend} backend",
            f"orchestrate sweep --resume {record.sweep_id}",
        )
    if record.status == "done" and not trials_to_run(record, keep_invalid=how.keep_invalid):
        reporter.say(f"sweep {record.sweep_id} is complete: there is no trial to run")
        return record
    planned = SweepSpec.model_validate(record.spec)
    how = how.ready(common, planned)
    folder = SweepFolder.of(common.root, record.sweep_id)
    check_private_folder(folder.root, "the sweep's folder")
    check_ended(common.root, record)
    with claimed(folder):
        record = ledger.sweep(record.sweep_id)  # it may have gone on until just now
        cluster = read_cluster_file(folder.cluster, instance_types_from=planned.instance_types_from)
        kind, budget, rates = registry.kind(record.backend), None, None
        if kind.cloud is not None and (trials := trials_to_run(record, keep_invalid=how.keep_invalid)):
            cluster = kind.cloud.complete(cluster)
            rest = plan_of(record, trials, cluster)
            budget, rates = _agreed(common, rest, cluster, how, reporter), rest.rates
        created = _create_backend(common, planned, cluster, how, folder, reporter, rates)
        with stack_running(common.root, wanted=how.stack, reporter=reporter):
            take_over(ledger, record)
            return _run(common, ledger, record.sweep_id, planned, how, created, reporter, budget)


def _make_folder(folder: "SweepFolder") -> None:
    """Make the folder of a new sweep. Raises InputError."""
    try:
        make_private_folder(folder.root)
    except OSError as error:
        raise InputError(
            f"the sweep's folder {folder.root} can't be made: {error.strerror}", "choose another home with --home"
        ) from None
    check_private_folder(folder.root.parent, "the folder of sweeps")


def _run(
    common: Home,
    ledger: "Ledger",
    sweep_id: str,
    spec: "SweepSpec",
    how: Execution,
    backend: "Backend",
    reporter: Reporter,
    budget: "Budget | None",
) -> "SweepRecord":
    from orchestrator.sweeps.folder import SweepFolder

    folder = SweepFolder.of(common.root, sweep_id)
    with recording(folder.own_log):
        asked = spec.model_dump_json(exclude_defaults=True)
        _log.info("orchestrate %s, sweep %s, spec %s", __version__, sweep_id, asked)
        return _run_in(folder, ledger, sweep_id, spec, how, backend, reporter, budget)


def _run_in(
    folder: "SweepFolder",
    ledger: "Ledger",
    sweep_id: str,
    spec: "SweepSpec",
    how: Execution,
    backend: "Backend",
    reporter: Reporter,
    budget: "Budget | None",
) -> "SweepRecord":
    from orchestrator.analysis.sweep.evidence import places, weigh
    from orchestrator.metrics.exporter import Exporter
    from orchestrator.sweeps.ledger import results_of
    from orchestrator.sweeps.runner import Runner, prices_of, trials_to_run

    planned = ledger.sweep(sweep_id)
    trials = trials_to_run(planned, keep_invalid=how.keep_invalid)
    number = f"{len(trials)} of {len(planned.trials)}" if len(trials) < len(planned.trials) else f"{len(trials)}"
    reporter.say(f"sweep {sweep_id}: {number} trials, traces in {folder.root}")
    exporter = Exporter(
        sweep_id,
        name=planned.name,
        created=planned.created,
        prices=prices_of(planned),
        verdicts=lambda: places(weigh(results_of(ledger.sweep(sweep_id).trials))),
        observer=lambda: backend.observer,
    )
    real_time = registry.kind(spec.backend).real_time
    port = how.metrics_port if real_time else 0
    resume = f"orchestrate sweep --resume {sweep_id}"
    ledger.on_long_wait(
        lambda limit_s: reporter.say(
            f"note: another program has locked the ledger: waiting up to {limit_s:g} s; then resume with: {resume}"
        )
    )
    try:
        with (
            metrics.serving(exporter, backend.targets, port, reporter, how.metrics_access),
            annotate.annotating(how.annotations, sweep_id, reporter) as annotators,
            reporter.running(trials, real_time=real_time) as view,
        ):
            watchers = [view, *([] if port == 0 else [exporter]), *annotators]
            return Runner(ledger, backend, folder, watchers, how.keep_invalid, budget).run(sweep_id)
    except MissingPrerequisite as error:
        kept = f"finished trials are kept; resume with: {resume}"
        raise MissingPrerequisite(error.message, f"{error.hint}; {kept}" if error.hint else kept) from None
    except KeyboardInterrupt:
        reporter.say(f"finished trials are kept; go on with: {resume}")
        if backend.left:
            raise Interrupted("interrupted; not all that was started could be ended", "orchestrate clean") from None
        raise
    finally:
        for why in backend.left:
            _log.warning("not all that was started could be ended: %s", why)
            reporter.say(f"warning: {why}; what is left of it: orchestrate clean")


def _create_backend(
    common: Home,
    spec: "SweepSpec",
    cluster: "ClusterFile",
    how: Execution,
    folder: "SweepFolder",
    reporter: Reporter,
    rates: "Rates | None" = None,
) -> "Backend":
    """Create the sweep's backend. What it needs of this machine is checked before anything is written."""
    from orchestrator.backends.base import BackendRequest
    from orchestrator.rayapi.version import require_supported_ray

    require_supported_ray()
    annotate.check(how.annotations, reporter)
    executor = how.engine or automatic()
    with reporter.working(f"preparing the {spec.backend} backend…") as update:
        request = BackendRequest(
            common.root,
            spec,
            cluster,
            logs_dir=folder.ray_logs,
            start_executor=executor.starter(),
            lazy=executor.lazy,
            note=lambda line: reporter.say(f"note: {line}"),
            progress=update,
            sweep_id=folder.root.name,
            rates=rates,
            max_usd=how.consent.max_usd,
        )
        return registry.kind(spec.backend).create(request)
