"""Injection of a workload's faults in virtual time."""

import math

from orchestrator.faults.schedule import FaultSchedule, Target
from orchestrator.model.events import ALIVE_STATES
from orchestrator.model.fault import Fault, FaultKind
from orchestrator.model.trial import Trial
from orchestrator.simulator.cloud import Cloud
from orchestrator.simulator.cluster import Cluster
from orchestrator.simulator.loop import EventLoop
from orchestrator.simulator.machine import SimulatedMachine
from orchestrator.simulator.trace_recorder import Recorder

_CAUSES: dict[FaultKind, str] = {"kill": "fault", "spot": "spot_interruption"}
POSSIBLE = frozenset(_CAUSES)


class SimulatedFaults:
    """The injector of a simulation, from the submission to the end of the last task. The GCS notices losses at once."""

    def __init__(self, trial: Trial, loop: EventLoop, recorder: Recorder, cloud: Cloud, cluster: Cluster) -> None:
        self._schedule = FaultSchedule(trial.workload.faults, trial.seed)
        self._loop = loop
        self._recorder = recorder
        self._cloud = cloud
        self._cluster = cluster
        self._submission: float | None = None
        self._next_check = math.inf

    def begin(self, submission: float) -> None:
        """Start to inject faults. Their times count from `submission`, in virtual seconds."""
        if self._schedule.next_s < math.inf or self._schedule.waits_for_nodes:
            self._submission = submission
            self._check_at(submission)

    def joined(self) -> None:
        """Check for a fault that waits for the node that has joined. It hits after the call that joined the node."""
        if self._submission is not None and self._schedule.waits_for_nodes:
            self._check_at(max(self._loop.now, self._submission))

    def end(self) -> None:
        """Stop injecting, because the last task has ended, and record the faults that found no target."""
        if self._submission is not None:
            self._submission = None
            for note in self._schedule.missed(self._recorder.trace_time(self._loop.now)):
                self._recorder.write(note)

    def _check_at(self, when: float) -> None:
        if when < self._next_check:
            self._next_check = when
            self._loop.call_at(when, lambda: self._check(when))

    def _check(self, when: float) -> None:
        if self._submission is None or when != self._next_check:
            return  # injection has ended, or an earlier check has run
        self._next_check = math.inf
        living = {
            Target(machine.machine_id, machine.node_type, machine.kind.arch, self._cluster.tasks_on(machine)): machine
            for machine in self._cloud.machines.values()
            if machine.state in ALIVE_STATES and not machine.is_head
        }
        for _, fault, target in self._schedule.due(self._loop.now - self._submission, living):
            self._inject(fault, living[target], target.tasks)
        self._check_at(self._submission + self._schedule.next_s)

    def _inject(self, fault: Fault, machine: SimulatedMachine, tasks: int | None) -> None:
        self._recorder.fault(machine, fault.kind, str(fault), tasks)
        self._cloud.reclaim(machine, _CAUSES[fault.kind], str(fault))
