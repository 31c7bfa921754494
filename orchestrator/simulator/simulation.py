"""One trial in virtual time: the world, Ray's autoscaler in it, and the schedule of its updates."""

import math
import random
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from orchestrator.errors import BaselineNotReached, InputError, TrialTimedOut
from orchestrator.model.events import Emit
from orchestrator.model.fault import impossible
from orchestrator.model.group import Feature, Group
from orchestrator.model.job import CANNOT_SIMULATE, RUN_INSTEAD
from orchestrator.model.latency import NodeLatencies
from orchestrator.model.task_needs import Needs
from orchestrator.model.trial import Trial
from orchestrator.rayapi.live_settings import differences, settings_in_force
from orchestrator.rayapi.node import head_tags
from orchestrator.rayapi.virtual.autoscaler_v1 import AutoscalerV1
from orchestrator.rayapi.virtual.autoscaler_v2 import AutoscalerV2
from orchestrator.rayapi.virtual.patching import simulation
from orchestrator.rayapi.virtual.session import Session
from orchestrator.rayapi.virtual.world import Pending, RayNodeView
from orchestrator.simulator.cloud import Cloud
from orchestrator.simulator.cluster import Cluster
from orchestrator.simulator.fault_driver import POSSIBLE, SimulatedFaults
from orchestrator.simulator.loop import EventLoop
from orchestrator.simulator.machine import Call, SimulatedMachine
from orchestrator.simulator.submissions import Submissions
from orchestrator.simulator.trace_recorder import SUBMISSION, Recorder

# The UNIX time that Ray sees at virtual second 0.
EPOCH = SUBMISSION - 86_400.0
_WARM_UP_S = 3600.0
_SETTLE_S = 6 * 3600.0
_SAME_MOMENT_S = 0.002

FEATURES: frozenset[Feature] = frozenset({"groups", "actors", "recorded", "requests"})
"""What a simulated workload may have."""
Latencies = Callable[[str, int], NodeLatencies]


@dataclass(frozen=True)
class Effort:
    """The effort of a simulation: updates that ran, updates that were skipped as ineffective, virtual seconds."""

    updates: int
    skipped: int
    virtual_s: float


def simulate(
    trial: Trial,
    emit: Emit,
    *,
    timeout_s: float,
    latencies: Latencies | None = None,
    plain: bool = False,
) -> Effort:
    """Run a trial in virtual time and pass its events to `emit`, in the order of their times.

    `timeout_s` limits the virtual seconds that the tasks may take. `latencies(node_type, index)` replaces the shape's
    launch model. `plain` runs every update, and Ray's code without shortcuts. The same trial gives the same events in
    every process. Raises TrialFailed as a real backend does, AutoscalerRaised if Ray's code fails, and InputError for
    a fault that can't be simulated.
    """
    if trial.workload.job is not None:
        raise InputError(CANNOT_SIMULATE, RUN_INSTEAD)
    if lacking := trial.workload.features - FEATURES:
        raise InputError(f"the simulator can't run a workload with {', '.join(sorted(lacking))}")
    if silent := impossible(trial.workload.faults, POSSIBLE):
        raise InputError(f"{silent[0]}: the simulator has no {silent[0].kind} of a node, only kill and spot")
    world = Simulation(trial, emit, latencies)
    with simulation(world) as session:
        return world.run(session, timeout_s, plain=plain)


class Simulation:
    """The world of one trial: an implementation of `orchestrator.rayapi.virtual.world.World`."""

    def __init__(self, trial: Trial, emit: Emit, latencies: Latencies | None = None) -> None:
        self.shape = trial.shape
        self.settings = trial.settings
        self._trial = trial
        self._random = random.Random(f"simulation:{trial.seed}")
        self._loop = EventLoop()
        workload = trial.workload
        self._recorder = Recorder(emit, lambda: self._loop.now, self._loop.call_at, names_groups=bool(workload.groups))
        self._cloud = Cloud(
            trial.shape, trial.seed, self._loop, self._recorder, self._booted, self._machine_ended, latencies
        )
        self._cluster = Cluster(
            workload.work, trial.shape.simulation, trial.seed, self._loop, self._recorder, EPOCH, self._ended
        )
        self._submissions = Submissions(workload, trial.seed, self._loop, self._cluster, self._all_done)
        self._faults = SimulatedFaults(trial, self._loop, self._recorder, self._cloud, self._cluster)
        self._done_at: float | None = None
        self._autoscaler: AutoscalerV1 | AutoscalerV2
        self._seen: object = None
        self._stable = False
        self._updated_at = self._decided_at = 0.0
        self._updates = 0
        self._skipped = 0

    # The trial

    def run(self, session: Session, timeout_s: float, *, plain: bool) -> Effort:
        """Run the trial as described in `simulate`."""
        self._cluster.join(self._cloud.start_head(head_tags(self.shape.head.name)))
        build = AutoscalerV1 if self.settings.autoscaler == "v1" else AutoscalerV2
        autoscaler = self._autoscaler = build(session, plain=plain)
        try:
            self._plain = plain
            self._warm_up()
            submission = self._begin()
            self._run_updates(
                lambda: self._done_at is not None,
                submission + timeout_s,
                lambda: TrialTimedOut(
                    f"the tasks took longer than {timeout_s:g} virtual s; "
                    f"{self._cluster.pending} of {self._trial.workload.task_count} still wait for a node",
                    "allow more with --timeout, or ask for less",
                ),
            )
            assert self._done_at is not None
            self._recorder.phase("scaling_down", self._done_at)
            settled_by = self._loop.now + _SETTLE_S + self._trial.longest_idle_s
            self._run_updates(self._at_baseline, settled_by, self._not_at_baseline)
            self._recorder.phase("done")
        except Exception as error:
            if not self._recorder.recording:  # the warm-up failed: record at least the nodes that exist
                self._recorder.begin(self._loop.now, list(self._cloud.machines.values()), self._load)
            self._recorder.phase("failed", detail=str(error))
            raise
        finally:
            autoscaler.close()
        return Effort(self._updates, self._skipped, self._loop.now - submission)

    def _warm_up(self) -> None:
        """Let the autoscaler bring the cluster to its baseline, where a trial begins."""
        self._run_updates(lambda: self._at_baseline() and self._stable, _WARM_UP_S, self._not_at_baseline)
        self._cloud.end_warm_up()

    def _begin(self) -> float:
        """Start recording and schedule the arrival of the tasks. Returns the virtual time of the first submission."""
        workload, seed, interval = self._trial.workload, self._trial.seed, self.settings.update_interval_s
        phase = self.shape.simulation.submit_phase
        share = random.Random(f"phase:{seed}").random() if phase is None else phase
        submission = self._loop.now + share * interval
        self._recorder.begin(submission, list(self._cloud.machines.values()), self._load)
        self._recorder.phase("preparing")
        live, caps = self._autoscaler.settings_in_force()
        in_force = {**settings_in_force(live), "update_interval_s": interval, **caps}
        wrong = differences(in_force, self.settings, self.shape)
        self._recorder.settings(in_force, as_wanted=not wrong)
        self._recorder.phase("submitting")
        self._submissions.begin(submission)
        self._loop.call_at(
            submission, lambda: self._recorder.phase("running", detail=f"{workload.task_count} tasks submitted")
        )
        self._faults.begin(submission)
        return submission

    def _load(self) -> tuple[Sequence[Pending], Mapping[str, tuple[float, float]]]:
        return self._cluster.demand(), self._cluster.usage()

    def _ended(self, group: Group, count: int) -> None:
        self._submissions.ended(group, count)

    def _all_done(self) -> None:
        self._done_at = self._loop.now
        self._faults.end()

    def _at_baseline(self) -> bool:
        """Return whether exactly `min_workers` nodes of each type are alive and idle, and nothing is pending."""
        wanted = {name: count for name, count in self.shape.baseline.items() if count}
        existing = Counter(machine.node_type for machine in self._cloud.machines.values() if not machine.is_head)
        settled = existing == wanted == self._cluster.alive() and not self._cloud.ending
        return settled and not self._cluster.busy() and not self._cluster.visible

    def _not_at_baseline(self) -> BaselineNotReached:
        existing = Counter(machine.node_type for machine in self._cloud.machines.values() if not machine.is_head)
        return BaselineNotReached(
            f"the cluster didn't go back to its minimum size: nodes are {dict(existing) or 'none'}"
        )

    # Updates

    def _run_updates(self, reached: Callable[[], bool], limit: float, give_up: Callable[[], Exception]) -> None:
        """Run updates until `reached`. Raise `give_up()` at `limit` (virtual seconds)."""
        interval = self.settings.update_interval_s
        while not reached():
            due = self._updated_at + interval if self._updates else 0.0
            if not self._plain and (target := self._earliest_decision()) > due:
                # The updates before `target` would see the same state as the last one, and decide nothing again.
                skipped = math.ceil((min(target, limit + interval) - due) / interval - 1e-9)
                self._skipped += skipped
                due += skipped * interval
            if due > limit:
                self._loop.run_until(limit)
                raise give_up()
            self._loop.run_until(due)
            self._updated_at = due
            self._update()

    def _earliest_decision(self) -> float:
        """Return the earliest virtual time at which an update could change a decision."""
        if not self._stable or self._inputs() != self._seen:
            return 0.0
        deadline = self._autoscaler.next_deadline(EPOCH + self._decided_at) - EPOCH
        upcoming = self._loop.next_event()
        return min(deadline, math.inf if upcoming is None else upcoming)

    def _update(self) -> None:
        """Run the autoscaler's update, unless it would see the same state as last time."""
        inputs = self._inputs()
        if not self._plain and self._stable and inputs == self._seen:
            deadline = self._autoscaler.next_deadline(EPOCH + self._decided_at)
            if deadline > self.now() + _SAME_MOMENT_S:
                self._skipped += 1
                return
        before = self._autoscaler.version()
        self._autoscaler.update()
        self._updates += 1
        self._decided_at = self._loop.now
        self._stable = self._autoscaler.version() == before
        self._seen = inputs

    def _inputs(self) -> object:
        """Return a value that is equal while the autoscaler's input is the same, apart from the time."""
        most = self._autoscaler.most_tasks
        seen = tuple(min(queue.visible, most[queue.needs.key]) for queue in self._cluster.queues)
        return self._cloud.changes, self._cluster.changes, seen, self._submissions.requested

    # As World: time and chance

    def now(self) -> float:
        """Return the virtual time, as UNIX seconds."""
        return EPOCH + self._loop.now

    def call_later(self, seconds: float, call: Callable[[], None]) -> None:
        """Schedule `call` after that many virtual seconds."""
        self._loop.call_later(seconds, call)

    def random_bits(self) -> int:
        """Return 128 random bits from the trial's seed."""
        return self._random.getrandbits(128)

    # As World: the cloud

    @property
    def machines(self) -> Mapping[str, SimulatedMachine]:
        """The machines that exist."""
        return self._cloud.machines

    def begin_launch(self, node_type: str, count: int) -> Call:
        """Send a request for machines."""
        return self._cloud.begin_launch(node_type, count)

    def finish_launch(self, call: Call, tags: Mapping[str, str]) -> None:
        """Complete a request. Raises LaunchRefused."""
        self._cloud.finish_launch(call, tags)

    def terminate(self, machine_ids: Iterable[str]) -> None:
        """Terminate machines."""
        self._cloud.terminate(machine_ids)

    def _booted(self, machine: SimulatedMachine) -> None:
        """Handle the end of a boot: the machine starts Ray itself, or the autoscaler's updater does."""
        if not self.shape.simulation.node_updaters:
            self._recorder.node(machine, "installing")
            self._loop.call_later(machine.latencies.install, partial(self._join_by_itself, machine))
        elif machine.installing:
            self._recorder.node(machine, "installing")

    def _join_by_itself(self, machine: SimulatedMachine) -> None:
        self.finish_install(machine.machine_id)

    def begin_install(self, machine_id: str) -> float:
        """Let an updater install Ray on a machine. Returns the seconds from now until Ray runs on it."""
        machine = self._cloud.machines.get(machine_id)
        if machine is None:
            return 0.0
        machine.installing = True
        if machine.booted:
            self._recorder.node(machine, "installing")
        return max(0.0, machine.boots_at - self._loop.now) + machine.latencies.install

    def finish_install(self, machine_id: str) -> bool:
        """Let the node join, if its machine still exists. Returns False otherwise."""
        machine = self._cloud.machines.get(machine_id)
        if machine is None:
            return False
        self._cluster.join(machine)
        self._faults.joined()
        return True

    def _machine_ended(self, machine: SimulatedMachine) -> None:
        self._cluster.lose(machine)

    # As World: the GCS

    def ray_nodes(self) -> Iterable[RayNodeView]:
        """Return the nodes that the GCS knows."""
        return self._cluster.views()

    def idle_since(self) -> Iterable[tuple[str, float]]:
        """Return each idle worker's node type, and the start of its idle time."""
        return self._cluster.idle_since()

    def all_needs(self) -> Sequence[Needs]:
        """Return what the workload's tasks need."""
        return self._trial.workload.needs

    def demand(self) -> Sequence[Pending]:
        """Return the waiting tasks that the GCS knows."""
        return self._cluster.demand()

    def requested(self) -> Sequence[Mapping[str, float]]:
        """Return the bundles that the workload has requested."""
        return [bundle.resources for bundle in self._submissions.requested]

    def drain_if_idle(self, node_id: bytes) -> bool:
        """Ask a node to drain."""
        return self._cluster.drain_if_idle(node_id)

    def stop_ray(self, node_ids: Iterable[bytes]) -> list[bytes]:
        """Stop Ray on nodes."""
        return self._cluster.stop(node_ids)
