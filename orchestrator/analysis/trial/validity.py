"""The validity of a trial, and the reasons against it."""

from collections.abc import Sequence

from orchestrator.analysis.trial.aftermath import aftermaths, lost_on_purpose
from orchestrator.analysis.trial.node_lives import NodeLife
from orchestrator.model.events import (
    DemandEvent,
    Event,
    HostEvent,
    NodeEvent,
    NoteEvent,
    PhaseEvent,
    SettingsEvent,
    TaskEvent,
)
from orchestrator.model.trial import Trial

# Above this percentage the host's cores are taken. Where that is so for more than half of the time, starts of nodes and
# tasks wait for the host and not for the autoscaler, and the trial measures the machine; from a fifth on, look twice.
SATURATED = "the host's CPUs were saturated"
SATURATED_PERCENT = 95.0
SATURATED_SHARE = 0.5
BUSY_SHARE = 0.2
_WARNING_NOTES = ("fault_missed", "records_missing", "records_incomplete", "autoscaler_throttled", "trace_full")


def judge(
    trial: Trial, events: Sequence[Event], lives: Sequence[NodeLife], window: tuple[float, float] | None
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Reasons why the trial is invalid, and warnings. `window` is the measured one, None if no task ran."""
    reasons, warnings = [], []
    failures = [event for event in events if isinstance(event, PhaseEvent) and event.phase == "failed"]
    reasons += [f"failed: {event.detail}" for event in failures]
    tasks = [event for event in events if isinstance(event, TaskEvent)]
    recorded, wanted = sum(task.count for task in tasks), trial.workload.task_count
    if wanted is not None and recorded != wanted:
        reasons.append(f"{recorded} of {wanted} tasks were recorded")
    nodes = {event.ray_node_id for event in events if isinstance(event, NodeEvent)}
    if strays := sum(task.count for task in tasks if task.ok and task.node not in nodes):
        reasons.append(f"{strays} tasks ran on nodes that are not of this cluster")
    if lost := sum(task.count for task in tasks if not task.ok):
        if trial.workload.is_known:
            reasons.append(f"{lost} tasks failed")
        else:  # scripts may cancel and retry tasks: their exit code decides
            warnings.append(f"{lost} attempts at tasks failed")
    notes = [event for event in events if isinstance(event, NoteEvent)]
    reasons += [f"a fault failed: {note.text}" for note in notes if note.kind == "fault_failed"]
    settings = [event for event in events if isinstance(event, SettingsEvent)]
    if not settings or not all(event.as_wanted for event in settings):
        reasons.append("the settings were not in force")
    if window is not None:
        within_reasons, within_warnings = _judge_window(trial, events, window)
        # Nobody can repeat an observation, and a gap of seconds doesn't spoil one of hours.
        (warnings if trial.workload.observed else reasons).extend(within_reasons)
        warnings += within_warnings
    warnings += dict.fromkeys(note.text for note in notes if note.kind in _WARNING_NOTES)
    if failed := sum(1 for life in lives if life.never_ran):
        warnings.append(f"{failed} launch{'' if failed == 1 else 'es'} failed")
    on_purpose = lost_on_purpose(aftermaths(events, lives))
    if crashed := sum(1 for life in lives if life.crashed and life.node not in on_purpose):
        warnings.append(f"{crashed} node{'' if crashed == 1 else 's'} failed")
    return tuple(reasons), tuple(warnings)


def _judge_window(trial: Trial, events: Sequence[Event], window: tuple[float, float]) -> tuple[list[str], list[str]]:
    start, end = window
    reasons, warnings = [], []
    notes = [event for event in events if isinstance(event, NoteEvent) and event.t >= start]
    gaps = [note.seconds for note in notes if note.kind == "observer_gap" and note.t - note.seconds <= end]
    if gaps:
        reasons.append(f"the observer saw nothing for {max(gaps):.0f} s")
    warnings += [note.text for note in notes if note.kind == "observer_gap_completed" and note.t - note.seconds <= end]
    if any(note.kind == "gcs_restarted" for note in notes):
        reasons.append("the GCS was restarted")
    host = [event for event in events if isinstance(event, HostEvent) and start <= event.t <= end]
    if host:
        share = sum(1 for event in host if event.cpu_percent >= SATURATED_PERCENT) / len(host)
        text = f"{SATURATED} for {share:.0%} of the time"
        if share > SATURATED_SHARE:
            reasons.append(text)
        elif share > BUSY_SHARE:
            warnings.append(text)
    workload, shape = trial.workload, trial.shape
    at_hand = shape.baseline_cpus + shape.head_cpus_for(workload.needs)
    more_than_baseline = workload.cpus_at_once > at_hand
    seen = any(isinstance(event, DemandEvent) and event.pending_cpus > 0 for event in events)
    if workload.all_at_once and more_than_baseline and not seen:
        reasons.append("the autoscaler never saw the demand")
    return reasons, warnings
