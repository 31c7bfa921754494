"""The runner of a plan: each trial becomes a trace, each trace a scorecard, each step a record in the ledger."""

import contextlib
import json
import logging
import os
import platform
import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from orchestrator.analysis.trial.score import score
from orchestrator.backends import registry
from orchestrator.backends.base import Backend, BilledBackend
from orchestrator.errors import InputError, MissingPrerequisite, TrialFailed
from orchestrator.filesystem import needing_room
from orchestrator.inputs.cluster_config import ClusterFile
from orchestrator.liveness import Lock, ProcessMark, still_runs
from orchestrator.logs import suppressed
from orchestrator.model.billing import Bill
from orchestrator.model.prices import Prices
from orchestrator.model.spec import SweepSpec
from orchestrator.model.trial import Trial
from orchestrator.rayapi.version import ray_version
from orchestrator.sweeps.budget import Budget
from orchestrator.sweeps.folder import SweepFolder
from orchestrator.sweeps.ledger import Ledger, SweepRecord
from orchestrator.sweeps.plan import Plan
from orchestrator.sweeps.watcher import GuardedWatcher, Watcher
from orchestrator.trace.file import TraceWriter, read_trace
from orchestrator.version import __version__

_log = logging.getLogger(__name__)


def new_sweep_id() -> str:
    """Return eight random hex digits."""
    return secrets.token_hex(4)


def environment() -> dict[str, Any]:
    """Return the versions and the host, which a result depends on in addition to the trial."""
    import psutil

    return {
        "orchestrate": __version__,
        "ray": ray_version(),
        "python": platform.python_version(),
        "host": {
            "system": f"{platform.system()} {platform.machine()}",
            "cores": os.cpu_count(),
            "memory": psutil.virtual_memory().total,
        },
    }


def process_of(record: SweepRecord) -> Mapping[str, Any]:
    """Return the record of the process that ran a sweep last; empty if there is none."""
    process = record.environment.get("process")
    return process if isinstance(process, dict) else {}


@dataclass
class Runner:
    """A runner of one sweep's trials that aren't done, or are invalid unless `keep_invalid`, in order."""

    ledger: Ledger
    backend: Backend
    folder: SweepFolder
    watchers: Sequence[Watcher] = ()
    keep_invalid: bool = False
    budget: Budget | None = None
    _guarded: list[GuardedWatcher] = field(init=False, default_factory=list)

    def run(self, sweep_id: str) -> SweepRecord:
        """Run the trials that are to run, and return the sweep. The failure of a trial doesn't end the sweep.

        A trial that could cross the budget doesn't begin: the sweep is interrupted then, with a note.

        The ledger is complete before the backend is closed, because ending a cluster can take long, and fail. Raises
        MissingPrerequisite for a problem that all other trials would have too, such as a full disk.
        """
        try:
            self._run_trials(sweep_id)
        finally:
            try:
                self.backend.close()
            finally:
                self._keep_bill(sweep_id)
        return self.ledger.sweep(sweep_id)

    def _run_trials(self, sweep_id: str) -> None:
        self._guarded = [GuardedWatcher(watcher) for watcher in self.watchers]
        _log.info("sweep %s runs on the %s backend", sweep_id, self.backend.name)
        sweep = self.ledger.sweep(sweep_id)
        to_run = trials_to_run(sweep, keep_invalid=self.keep_invalid)
        if not to_run and sweep.status == "done":
            return
        self.ledger.set_sweep_status(sweep_id, "running")
        trials, prices = sweep.trials, prices_of(sweep)
        try:
            self.backend.expect(to_run)
            for number, record in enumerate(trials, start=1):
                if not record.finished(keep_invalid=self.keep_invalid):
                    if (refusal := self._refusal(record.trial)) is not None:
                        self._stop(sweep_id, refusal)
                        return
                    for watcher in self._guarded:
                        watcher.trial_started(number, len(trials), record.trial)
                    with needing_room(self.folder.root):  # the next trial would fail in the same way
                        self._run_trial(sweep_id, record.trial, prices)
        except BaseException:
            # A full disk is the ledger's, too, but what led here matters more.
            with suppressed(_log, "writing down the interruption", InputError, MissingPrerequisite):
                self.ledger.interrupt(sweep_id, "interrupted")
            raise
        finally:
            self._keep_notes(sweep_id)
        failed = any(record.status != "done" for record in self.ledger.sweep(sweep_id).trials)
        self.ledger.set_sweep_status(sweep_id, "failed" if failed else "done")

    def _run_trial(self, sweep_id: str, trial: Trial, prices: Prices | None) -> None:
        _log.info("trial %s (%s) begins", trial.trial_id, trial.label())
        path = self.folder.trace(trial)
        _keep_earlier(path)
        self.ledger.start_trial(sweep_id, trial.trial_id, str(path))
        context: dict[str, Any] = {"sweep_id": sweep_id, "environment": environment()}
        if self.backend.reproducible:
            context = {"environment": {name: context["environment"][name] for name in ("orchestrate", "ray")}}
        reason = ""
        try:
            sinks = [watcher.event for watcher in self._guarded]
            with TraceWriter(path, trial=trial, context=context, sinks=sinks) as trace:
                self.backend.run(trial, trace, self.folder.log(trial))
        except TrialFailed as error:
            reason = error.message
            _log.exception("trial %s failed", trial.trial_id)
        scorecard = score(trial, read_trace(path).events, prices)
        self.ledger.end_trial(sweep_id, trial.trial_id, "failed" if reason else "done", reason, scorecard)
        _log.info("trial %s ends: %s", trial.trial_id, reason or ", ".join(scorecard.invalid_because) or "valid")
        if self.budget is not None and isinstance(self.backend, BilledBackend):
            self.budget.end(trial, self.backend.bill())
        for watcher in self._guarded:
            watcher.trial_ended(trial, scorecard, reason)

    def _refusal(self, trial: Trial) -> str | None:
        """Return why the budget doesn't allow a trial to begin; None if it does, or if there is none."""
        if self.budget is None or not isinstance(self.backend, BilledBackend):
            return None
        bill = self.backend.bill()
        self.budget.begin(bill)
        return self.budget.refusal(trial, bill)

    def _stop(self, sweep_id: str, why: str) -> None:
        _log.info("the sweep stops: %s", why)
        self.ledger.interrupt(sweep_id, why)
        note = f"stopped: {why}; go on with: orchestrate sweep --resume {sweep_id} --max-cost N"
        self.ledger.add_notes(sweep_id, [note])

    def _keep_bill(self, sweep_id: str) -> None:
        """Keep in the result what the machines have cost in all."""
        if isinstance(self.backend, BilledBackend):
            with suppressed(_log, "keeping the bill in the ledger", InputError):
                self.ledger.add_bill(sweep_id, self.backend.bill())

    def _keep_notes(self, sweep_id: str) -> None:
        """Keep in the result which watchers stopped."""
        notes = [watcher.stopped for watcher in self._guarded if watcher.stopped]
        if notes:
            with suppressed(_log, "keeping notes in the ledger", InputError, MissingPrerequisite):
                self.ledger.add_notes(sweep_id, notes)


def trials_to_run(sweep: SweepRecord, *, keep_invalid: bool = False) -> list[Trial]:
    """Return the trials of a sweep that aren't done, and the invalid ones unless they are to be kept."""
    return [record.trial for record in sweep.trials if not record.finished(keep_invalid=keep_invalid)]


def _keep_earlier(path: Path) -> None:
    """Rename the trace of an earlier, unfinished attempt, so that nothing recorded is lost."""
    if path.exists():
        attempt = 1 + len(list(path.parent.glob(f"{path.stem}.attempt*{path.suffix}")))
        path.rename(path.with_name(f"{path.stem}.attempt{attempt}{path.suffix}"))


def assumptions_of(record: SweepRecord) -> list[str]:
    """Return the sentences that say what a sweep's results rest on without the user having said so."""
    return [str(each) for each in record.environment.get("assumptions", [])]


def provider_of(record: SweepRecord) -> str | None:
    """Return the node provider that a sweep's cluster file names, such as `aws`; None if it names none."""
    provider = record.environment.get("provider")
    return None if provider is None else str(provider)


def bill_of(record: SweepRecord) -> Bill | None:
    """Return what a sweep's machines have cost in all, head and disks included; None where machines cost nothing."""
    bill = record.environment.get("bill")
    return None if bill is None else Bill.model_validate(bill)


def prices_of(record: SweepRecord) -> Prices | None:
    """Return the prices that a sweep was planned with, or None for a sweep of a version without prices."""
    prices = record.environment.get("prices")
    return None if prices is None else Prices.model_validate(prices)


def unpriced_of(record: SweepRecord) -> list[str]:
    """Return the instance types of a sweep's workers that have no price in it."""
    workers = [worker for each in record.trials[:1] for worker in each.trial.shape.workers]
    return (prices_of(record) or Prices(usd_per_hour={})).without(workers)


def running(home: Path, record: SweepRecord) -> bool | None:
    """Return true if a process runs a sweep now; None if this machine can't know."""
    if record.status != "running":
        return False
    return still_runs(process_of(record), SweepFolder.of(home, record.sweep_id).lock)


@contextlib.contextmanager
def claimed(folder: SweepFolder) -> Iterator[None]:
    """Hold a sweep's lock, so that no other process runs it meanwhile. Raises InputError if one does."""
    try:
        lock = Lock.take(folder.lock)
    except OSError as error:
        raise InputError(f"{folder.root} can't be written: {error.strerror}", "choose another with --home") from None
    if lock is None:
        raise InputError(f"sweep {folder.root.name} still runs, in another process")
    try:
        yield
    finally:
        lock.release()


def check_ended(home: Path, record: SweepRecord) -> None:
    """Raise InputError unless the process that ran a sweep is known to have ended."""
    if (runs := running(home, record)) is False:
        return
    process = process_of(record)
    who = f"as process {process.get('pid', '?')} on {process.get('host', '?')}"
    if runs:
        raise InputError(f"sweep {record.sweep_id} still runs, {who}")
    raise InputError(
        f"sweep {record.sweep_id} may still run, {who}, which this machine can't look at",
        "if that machine is gone: orchestrate clean --force, then resume the sweep",
    )


def take_over(ledger: Ledger, record: SweepRecord) -> None:
    """Record that this process, which holds the sweep's lock, runs it from now on."""
    mark = ProcessMark.this_process().as_record()
    ledger.take_over(record.sweep_id, {**record.environment, **environment(), "process": mark})


def plan_of(record: SweepRecord, trials: Sequence[Trial], cluster: ClusterFile) -> Plan:
    """Return trials of a recorded sweep as a plan, with the prices that it was planned with."""
    kind, prices = registry.kind(record.backend), prices_of(record) or Prices(usd_per_hour={})
    first = trials[0]
    return Plan(
        spec=SweepSpec.model_validate(record.spec),
        shape=first.shape,
        workload=first.workload,
        trials=tuple(trials),
        prices=prices,
        starts=kind.starts,
        rates=None if kind.cloud is None else kind.cloud.rates(cluster, prices),
    )


def begin_sweep(ledger: Ledger, plan: Plan, sweep_id: str | None = None) -> str:
    """Record a plan in the ledger as a new sweep, and return the sweep's id."""
    sweep_id = sweep_id or new_sweep_id()
    ledger.add_sweep(
        sweep_id,
        plan.trials,
        name=plan.spec.name,
        backend=plan.spec.backend,
        spec=json.loads(plan.spec.model_dump_json()),
        environment={
            **environment(),
            "prices": plan.prices.model_dump(mode="json"),
            "process": ProcessMark.this_process().as_record(),
            **({"assumptions": list(plan.assumptions)} if plan.assumptions else {}),
            **({"provider": plan.provider} if plan.provider else {}),
        },
    )
    return sweep_id
