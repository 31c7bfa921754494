"""A comparison of the simulator with reality: a recorded trial, and the same trial in virtual time."""

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import zip_longest

from orchestrator.analysis.trial.latencies import launch_stages
from orchestrator.analysis.trial.node_lives import NodeLife, node_lives
from orchestrator.analysis.trial.score import score
from orchestrator.backends.registry import SIMULATED
from orchestrator.errors import InputError
from orchestrator.model.events import DemandEvent, Event, TaskEvent
from orchestrator.model.job import CANNOT_SIMULATE
from orchestrator.model.latency import Delay, NodeLatencies
from orchestrator.model.quantities import shown_in
from orchestrator.model.scorecard import Scorecard
from orchestrator.model.trial import Trial
from orchestrator.observer.observer import DEFAULT_INTERVAL_S
from orchestrator.simulator.scored import simulate_and_score
from orchestrator.trace.file import Trace

# What `Validation.worst` looks at: with these right, a sweep's ranking of settings is.
DECISIVE = ("time_to_peak_s", "makespan_s")
# A launch belongs to an update of the autoscaler if it comes within this share of the update interval of it.
_SAME_UPDATE = 0.1


@dataclass(frozen=True)
class Comparison:
    """One quantity, as recorded and as simulated; None where a trace doesn't show it."""

    name: str
    recorded: float | None
    simulated: float | None

    @property
    def error(self) -> float | None:
        """The simulated value minus the recorded one."""
        return None if self.recorded is None or self.simulated is None else self.simulated - self.recorded

    @property
    def relative_error(self) -> float | None:
        """The error as a share of what was recorded; 0 where both are 0, None where only that is."""
        if self.error is None or self.recorded is None:
            return None
        return self.error / abs(self.recorded) if self.recorded else (0.0 if not self.error else None)


@dataclass(frozen=True)
class Validation:
    """A recorded trial and its replay: the scorecards, and the request time of each launch (s after submission).

    `assumptions` are those of the recorded trial's sweep.
    """

    trial: Trial
    recorded: Scorecard
    simulated: Scorecard
    launches: tuple[tuple[float, ...], tuple[float, ...]]
    assumptions: tuple[str, ...] = ()

    @property
    def comparisons(self) -> list[Comparison]:
        """Return each quantity as recorded and as simulated."""
        return [
            Comparison(each.name, each.value(self.recorded), each.value(self.simulated))
            for each in shown_in("validate")
        ]

    @property
    def updates_late(self) -> list[int | None]:
        """Return for each launch how many updates of the autoscaler later it was recorded than simulated.

        Negative if earlier; None where only one of both has the launch, or their times differ by no whole number of
        update intervals. Ray's GCS asks the nodes once a second which tasks wait, so an update within the first second
        or two after a submission sees all of the demand, a part of it, or none. A real autoscaler can so decide one
        update later than foretold, and everything after that comes later, too.
        """
        interval = self.trial.settings.update_interval_s
        return [
            None if real is None or simulated is None else _whole((real - simulated) / interval)
            for real, simulated in zip_longest(*self.launches)
        ]

    @property
    def worst(self) -> float:
        """The largest relative error of the decisive times; infinite if one is missing or the launches differ."""
        if self.recorded.launches != self.simulated.launches:
            return math.inf
        errors = (row.relative_error for row in self.comparisons if row.name in DECISIVE)
        return max(math.inf if error is None else abs(error) for error in errors)


def _whole(updates: float) -> int | None:
    return round(updates) if abs(updates - round(updates)) <= _SAME_UPDATE else None


def validate(trace: Trace) -> Validation:
    """Replay a recorded trial in virtual time with its workload, shape, settings and boot times.

    The first update of the autoscaler after the submission happens at its recorded time. The cluster file determines
    Ray's behaviour below the autoscaler (`provider.simulation`). Raises InputError for a trace without a trial or
    without tasks, and TrialFailed if the replay can't be finished.
    """
    from orchestrator.backends.simulated.backend import default_timeout_s

    if trace.trial is None:
        raise InputError("the trace holds no trial: a cluster was only observed", "validate a trial of a sweep")
    if trace.trial.workload.job is not None:
        raise InputError(f"trial {trace.trial.trial_id}: {CANNOT_SIMULATE}", "validate one of the stress job")
    recorded = score(trace.trial, trace.events)
    if recorded.makespan_s is None:
        raise InputError(f"trial {trace.trial.trial_id} recorded no task", "validate one that is done")
    trial = replay_of(trace.trial, trace.events)
    replayed = simulate_and_score(
        trial, timeout_s=default_timeout_s(trial), latencies=measured_latencies(trial, trace.events)
    )
    if replayed.failure is not None:
        raise replayed.failure
    launches = (_requests(trace.events), _requests(replayed.events))
    return Validation(trace.trial, recorded, replayed.card, launches)


def replay_of(trial: Trial, events: Sequence[Event]) -> Trial:
    """Return the trial for the simulator, starting from the autoscaler's state at the submission."""
    interval, requests = trial.settings.update_interval_s, _requests(events)
    model = trial.shape.simulation
    if requests:
        first = requests[0]
        model = model.replace(
            submit_phase=(1 - first % interval / interval) % 1.0,
            demand_lag=Delay(mean_s=_visible_after(model.demand_lag.expected_s, events, first)),
        )
    return trial.replace(backend=SIMULATED.name, shape=trial.shape.replace(simulation=model))


def measured_latencies(trial: Trial, events: Sequence[Event]) -> Callable[[str, int], NodeLatencies]:
    """Return `latencies(node_type, index)` of the trial's nodes, in the order of their requests by node type.

    A node that the cloud refused has a place in that order, too. Nodes and stages that the trace doesn't show use the
    cluster file's model.
    """
    measured: dict[str, list[dict[str, float]]] = defaultdict(list)
    for life in _launched(events):
        measured[life.node_type].append(launch_stages(life) or _stages_until_failure(life))

    def latencies(node_type: str, index: int) -> NodeLatencies:
        assumed = trial.shape.launch.latencies(trial.seed, node_type, index)
        known = measured[node_type][index : index + 1]
        return assumed._replace(**known[0]) if known else assumed

    return latencies


def _stages_until_failure(life: NodeLife) -> dict[str, float]:
    """Return the durations that a node shows that never ran; a refusal ends the stage of the request."""
    seconds = {stage: each for stage, each in life.stage_seconds().items() if stage != "launch"}
    failed = life.first("failed")
    if "request" not in seconds and failed is not None:
        seconds["request"] = failed - life.states[0][0]
    return seconds


def _submission(events: Iterable[Event]) -> float:
    return min(event.submitted for event in events if isinstance(event, TaskEvent))


def _launched(events: Sequence[Event]) -> list[NodeLife]:
    """Return the nodes that were requested after the submission, in order."""
    start = _submission(events)
    return sorted(
        (life for life in node_lives(events) if life.states[0][1] == "requested" and life.states[0][0] >= start),
        key=lambda life: life.states[0][0],
    )


def _requests(events: Sequence[Event]) -> tuple[float, ...]:
    """Return the request times of launches, in seconds after the submission."""
    start = _submission(events)
    return tuple(life.states[0][0] - start for life in _launched(events))


def _visible_after(assumed: float, events: Sequence[Event], first_request: float) -> float:
    """Return the seconds until the autoscaler could see the demand: as assumed, within the limits that the trace shows.

    It was visible when the observer saw it and when the first node was requested, but not yet at the observer's poll
    before. Without a poll that saw it, only the request limits it.
    """
    start = _submission(events)
    seen = (event.t - start for event in events if isinstance(event, DemandEvent) and event.pending and event.t > start)
    first_seen = next(seen, None)
    if first_seen is not None:
        assumed = min(max(assumed, first_seen - DEFAULT_INTERVAL_S), first_seen)
    return min(assumed, first_request)
