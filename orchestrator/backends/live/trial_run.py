"""One trial on a running cluster: settings, workload, faults, and the way back to the baseline."""

import threading
import time
from pathlib import Path

from orchestrator.backends.live.cluster import NODE_START_S, LiveCluster
from orchestrator.backends.live.job_trace import events_of, settled_records
from orchestrator.errors import (
    BaselineNotReached,
    InputError,
    TrialFailed,
    TrialTimedOut,
    WorkloadFailed,
)
from orchestrator.faults.injector import FaultInjector
from orchestrator.faults.schedule import Target
from orchestrator.filesystem import no_room
from orchestrator.inputs.job_files import runtime_env
from orchestrator.logs import FILE_NAME
from orchestrator.model.events import ALIVE_STATES, Phase, PhaseEvent, SettingsEvent, TaskEvent
from orchestrator.model.job import Job
from orchestrator.model.trial import Trial
from orchestrator.observer.observer import Observer
from orchestrator.rayapi.live_settings import differences
from orchestrator.trace.file import TraceWriter
from orchestrator.workload.job import Message, ScriptJob, StressJob, SubmittedJob, stress_entrypoint

POLL_S = 0.2
_STATUS_EVERY_S = 2.0
_JOB_POLL_S = 0.5
_SETTLE_MARGIN_S = 90.0
_JOB_S = 3600.0


def settle_timeout_s(trial: Trial, start_s: float = NODE_START_S) -> float:
    """Return the seconds that a cluster may take to reach its baseline: idle timeout, updates, launches, slow moments.

    A node may take `start_s` to start.
    """
    launch, settings = trial.shape.launch, trial.settings
    launch_s = 3 * (launch.request.expected_s + launch.boot.expected_s) + start_s * sum(trial.shape.baseline.values())
    return trial.longest_idle_s + 4 * settings.update_interval_s + launch_s + _SETTLE_MARGIN_S


def default_timeout_s(trial: Trial) -> float:
    """Return the default time limit of a trial: twice the need of the smallest cluster, plus ten minutes.

    Nobody knows what a job needs: it gets an hour.
    """
    if trial.workload.job is not None:
        return _JOB_S + 2 * settle_timeout_s(trial)
    smallest = trial.shape.baseline_cpus or max(worker.cpus for worker in trial.shape.launchable) or 1.0
    workload = trial.workload
    work_s = 2 * workload.cpu_seconds / smallest + 3 * workload.longest_s + workload.span_s
    return 600.0 + work_s + 2 * settle_timeout_s(trial)


def enter_phase(trace: TraceWriter, phase: Phase, *, t: float | None = None, detail: str = "") -> None:
    """Record that the trial enters a phase, now or at `t` in UNIX seconds."""
    trace.emit(PhaseEvent(t=time.time() if t is None else t, phase=phase, detail=detail))


class _InjectableCluster:
    """A running cluster as the fault injector uses it, see `faults.injector.InjectableCluster`."""

    def __init__(self, cluster: LiveCluster, observer: Observer) -> None:
        self._observer = observer
        self.inject = cluster.inject
        self.recover = cluster.recover

    def targets(self) -> list[Target]:
        return [
            Target(node.node, node.node_type, node.traits.arch)
            for node in self._observer.nodes()
            if node.state in ALIVE_STATES and not node.is_head
        ]


class TrialRun:
    """One trial on a running cluster."""

    def __init__(
        self,
        trial: Trial,
        trace: TraceWriter,
        log_path: Path,
        cluster: LiveCluster,
        observer: Observer,
        timeout_s: float,
        home: Path,
    ) -> None:
        self._trial = trial
        self._home = home
        self._trace = trace
        self._log_path = log_path
        self._cluster = cluster
        self._observer = observer
        self._timeout_s = timeout_s
        self._paused_s = 0.0
        self._deadline = self._now() + timeout_s
        self._faults = FaultInjector(
            trial.workload.faults, trial.seed, _InjectableCluster(cluster, observer), trace.emit
        )
        self.leaves_helpers = False
        """True after a job that left helper actors of Ray's own libraries: the next trial needs a cluster without."""
        self._submitted = False
        self._all_ended = threading.Event()
        self._last_end = 0.0

    def execute(self) -> None:
        """Run the trial. Raises TrialFailed."""
        trial, cluster = self._trial, self._cluster
        enter_phase(self._trace, "preparing")
        cluster.apply_settings(trial.shape, trial.settings)
        update_s = trial.settings.update_interval_s
        in_force = cluster.wait_for_settings(trial.shape, trial.settings, timeout_s=4 * update_s + 20)
        self._trace.emit(SettingsEvent(t=time.time(), in_force=in_force, as_wanted=True))
        self._wait_for_baseline()
        # Only now: the nodes of the baseline must not use up the boot times of the trial's own launches.
        cluster.begin_trial(trial.trial_id, trial.seed)
        enter_phase(self._trace, "submitting")
        script = trial.workload.job
        try:
            job = self._run_stress_job() if script is None else self._run_script(script)
        finally:
            self._faults.stop()
        enter_phase(self._trace, "scaling_down", t=self._last_end)
        self._wait_for_baseline()
        job.check()
        self._check_settings_still_in_force()
        enter_phase(self._trace, "done")

    def _run_stress_job(self) -> SubmittedJob:
        trial, cluster = self._trial, self._cluster
        entrypoint = stress_entrypoint(trial.workload, trial.seed, cluster.inner_gcs, cluster.python)
        job = StressJob(cluster.dashboard, entrypoint, self._log_path, self._read)
        self._wait_for_tasks(job)
        return job

    def _run_script(self, script: Job) -> SubmittedJob:
        """Run the user's script to its end, and write down what Ray recorded of it. Raises TrialFailed."""
        try:
            environment = runtime_env(script, self._home)
        except InputError as error:
            raise WorkloadFailed(error.message, error.hint) from error
        job = ScriptJob(self._cluster.dashboard, script.entrypoint, self._log_path, environment)
        submitted = job.submitted()
        enter_phase(self._trace, "running", t=submitted, detail=script.entrypoint)
        self._faults.start(submitted)
        while not job.ended():
            self._check()
            time.sleep(_JOB_POLL_S)
        self._last_end = job.end()
        job.finish()
        try:
            records = settled_records(self._cluster.gcs, job.job_id, self._last_end, self._check)
        except ConnectionError as error:
            raise WorkloadFailed(str(error), "what the job ran is unknown") from error
        for event in events_of(records, self._observer.of_ray_node, self._last_end):
            self._trace.emit(event)
        job.check()
        self.leaves_helpers = bool(records.helpers)
        if records.left:
            raise WorkloadFailed(
                f"the job has ended, and left {', '.join(records.left)} behind, which would disturb the next trial",
                "end what is detached at the end of the script, for example with ray.kill",
            )
        return job

    # What the stress job reports, in the thread that follows its log

    def _read(self, message: Message) -> None:
        if "submitted" in message and not self._submitted:
            self._submitted = True  # later waves don't begin the phase again
            enter_phase(self._trace, "running", t=message["t"], detail=f"{message['submitted']} tasks submitted")
            self._faults.start(message["t"])
        named = bool(self._trial.workload.groups)
        for node_id, submitted, started, ended, ok, group, cpus in message.get("tasks", ()):
            node = self._observer.of_ray_node(node_id)
            self._last_end = max(self._last_end, ended)
            self._trace.emit(
                TaskEvent(
                    t=ended,
                    node=node_id,
                    node_type=node.node_type if node else "",
                    arch=node.traits.arch if node else "unknown",
                    cpus=cpus,
                    submitted=submitted,
                    started=started,
                    ended=ended,
                    ok=ok,
                    **({"group": group} if named else {}),
                )
            )
        if "done" in message:
            self._all_ended.set()

    # Waiting

    def _wait_for_tasks(self, job: StressJob) -> None:
        next_status = 0.0
        while not self._all_ended.wait(POLL_S):
            self._check()
            if time.monotonic() >= next_status:
                next_status = time.monotonic() + _STATUS_EVERY_S
                if job.ended():
                    job.finish()
                    job.check()
                    if not self._all_ended.is_set():
                        raise TrialFailed("the stress job ended without a report", f"log: {self._log_path}")

    def _wait_for_baseline(self) -> None:
        deadline = self._now() + settle_timeout_s(self._trial, self._cluster.start_s)
        while (found := self._away_from_baseline()) is not None:
            self._check()
            if self._now() > deadline:
                raise BaselineNotReached(f"the cluster didn't go back to its minimum size: {found}")
            time.sleep(POLL_S)

    def _away_from_baseline(self) -> str | None:
        """Return what differs from the baseline, if anything: `min_workers` nodes, all idle, nothing pending.

        Of a request that the cloud grants in part, v2 still awaits the rest: after ten minutes it asks again. Such
        nodes don't count as pending.
        """
        snapshot = self._observer.latest
        if snapshot is None:
            return "the observer hasn't seen the cluster yet"
        wanted = {name: count for name, count in self._trial.shape.baseline.items() if count}
        existing: dict[str, int] = {}
        for node in self._observer.nodes():
            if not node.is_head:
                existing[node.node_type] = existing.get(node.node_type, 0) + 1
        if snapshot.alive_workers != wanted or existing != wanted:
            return f"nodes are {existing or 'none'} (alive {snapshot.alive_workers or 'none'}), not {wanted or 'none'}"
        if any(demand.count for demand in snapshot.demand):
            return "tasks are still pending"
        if snapshot.awaited - self._observer.refused():
            return "launches are still pending"
        busy = [node for node in snapshot.nodes if node.status != "dead" and node.used.get("CPU")]
        return "nodes are still busy" if busy else None

    def _now(self) -> float:
        """Return a time in seconds that doesn't go on while the cluster lets the trial wait."""
        return time.monotonic() - self._paused_s

    def _check(self) -> None:
        before = time.monotonic()
        self._cluster.check_alive()
        self._paused_s += time.monotonic() - before
        if (failure := self._observer.failure) is not None:
            raise no_room(failure, self._log_path) or TrialFailed(
                f"the observer stopped after an error: {failure}; see {FILE_NAME}"
            )
        if self._now() > self._deadline:
            raise TrialTimedOut(
                f"the trial took longer than {self._timeout_s:g} s", "allow more with --timeout, or ask for less"
            )

    def _check_settings_still_in_force(self) -> None:
        """Record the autoscaler's settings at the end if they differ, which makes the trial invalid."""
        in_force = self._cluster.live_settings() or {}
        if differences(in_force, self._trial.settings, self._trial.shape):
            self._trace.emit(SettingsEvent(t=time.time(), in_force=in_force, as_wanted=False))
