"""The backfill of recorded or simulated trials into Prometheus, as if they had been scraped while they ran."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from orchestrator.analysis.sweep.evidence import places, weigh
from orchestrator.errors import InputError
from orchestrator.prometheus.client import Prometheus
from orchestrator.prometheus.placement import Key, RecordedTrial, laid_out, moved
from orchestrator.prometheus.recording_rules import Rule, recorded
from orchestrator.prometheus.remote_write import send
from orchestrator.prometheus.samples import INSTANCE, STEP_S, samples_of, verdict_samples
from orchestrator.sweeps.ledger import SweepRecord, results_of
from orchestrator.sweeps.runner import prices_of
from orchestrator.trace.file import read_trace


@dataclass(frozen=True)
class Plan:
    """The plan of a push: trials in the order of time, the shift of each in seconds, and the excluded trials."""

    placed: Sequence[tuple[RecordedTrial, float]]
    scraped: Sequence[RecordedTrial]


def planned(
    prometheus: Prometheus,
    trials: Sequence[RecordedTrial],
    earlier: Mapping[Key, float],
    *,
    end_now: bool,
    now: float,
) -> Plan:
    """Return the placement of the trials; `earlier` is the shift of trials that were pushed before.

    A sweep from an earlier push keeps its place, so that its samples are identical. Otherwise real trials keep their
    times, and simulated trials end now; with `end_now` all do. Trials that Prometheus has scraped are excluded, because
    a second copy would be added to the first. Raises InputError if a trial would overlap its own older copy.
    """
    kept = {} if end_now else _still_there(prometheus, trials, earlier, now)
    anew = laid_out([trial for trial in trials if trial.key not in kept and (end_now or trial.simulated)], now=now)
    by = {trial.key: kept.get(trial.key, anew.get(trial.key, 0.0)) for trial in trials}
    placed, scraped = [], []
    for trial in sorted(trials, key=lambda trial: trial.begin + by[trial.key]):
        instances = _instances(prometheus, trial, by[trial.key])
        if instances - {INSTANCE}:
            scraped.append(trial)
        elif instances and trial.key in anew:
            begin, end = trial.window(0.0)
            raise InputError(
                f"trial {trial.trial_id} is already at this time from an earlier push, and would overlap itself",
                f"omit --end-now to keep its place, or try again in {math.ceil((end - begin) / 60)} min",
            )
        else:
            placed.append((trial, by[trial.key]))
    return Plan(placed, scraped)


def push(prometheus: Prometheus, plan: Plan, sweeps: Mapping[str, SweepRecord], rules: Sequence[Rule]) -> Iterator[int]:
    """Write trial after trial, then the results of recording rules; yield the number of samples of each.

    `sweeps` are the trials' sweeps, by id. The verdict on a sweep's settings is written with its last trial. Only one
    trial is in memory at a time.
    """
    last = {trial.sweep_id: trial for trial, _ in plan.placed}
    for trial, by in plan.placed:
        sweep = sweeps[trial.sweep_id]
        trace = moved(read_trace(trial.trace), by)
        samples = samples_of(sweep.sweep_id, trace, prices_of(sweep), name=sweep.name, created=sweep.created)
        if last[sweep.sweep_id] is trial:
            verdicts = places(weigh(results_of(sweep.trials)))
            samples |= verdict_samples(sweep.sweep_id, verdicts, trial.window(by)[1])
        written = send(prometheus, samples)
        for rule in rules:
            written += send(prometheus, recorded(prometheus, rule, trial.key, *trial.window(by)))
        yield written


def _still_there(
    prometheus: Prometheus, trials: Iterable[RecordedTrial], earlier: Mapping[Key, float], now: float
) -> dict[Key, float]:
    """Return the placement of sweeps that are in Prometheus, at least in part: a push can be interrupted."""
    # A trial that ran again has other times: with the old shift it could end in the future.
    known = [trial for trial in trials if trial.key in earlier and trial.end + earlier[trial.key] <= now]
    there: set[str] = set()
    for trial in known:
        if trial.sweep_id not in there and INSTANCE in _instances(prometheus, trial, earlier[trial.key]):
            there.add(trial.sweep_id)
    return {trial.key: earlier[trial.key] for trial in known if trial.sweep_id in there}


def _instances(prometheus: Prometheus, trial: RecordedTrial, moved_by: float) -> set[str]:
    """Return the instances whose samples of the trial Prometheus has, in the trial's window after the shift."""
    begin, end = trial.window(moved_by)
    series = f'orchestrator_trial_phase{{sweep_id="{trial.sweep_id}",trial_id="{trial.trial_id}"}}'
    seconds = math.ceil(end - begin + 2 * STEP_S)
    found = prometheus.at(f"count by (instance) (last_over_time({series}[{seconds}s]))", end + STEP_S)
    return {each["metric"].get("instance", "") for each in found}
