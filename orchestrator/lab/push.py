"""Writes recorded or simulated trials into a Prometheus."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.errors import InputError
from orchestrator.lab.home import Home
from orchestrator.lab.progress import Reporter

if TYPE_CHECKING:
    from orchestrator.prometheus.client import Prometheus
    from orchestrator.prometheus.placement import Key, RecordedTrial
    from orchestrator.sweeps.ledger import SweepRecord


@dataclass(frozen=True)
class Pushed:
    """The trials written and left out, the number of samples, and the UNIX times of the first and the last sample."""

    written: "Sequence[RecordedTrial]"
    scraped: "Sequence[RecordedTrial]"
    samples: int
    times: tuple[float, float] | None


def push_trials(
    home: Home, wanted: Sequence[str], prometheus: "Prometheus", reporter: Reporter, *, end_now: bool
) -> Pushed:
    """Write the trials of these ids. Raises InputError if none of them has ended, and OrchestrateError."""
    from orchestrator.assets import bundled
    from orchestrator.prometheus.backfill import planned, push
    from orchestrator.prometheus.placement import Placement
    from orchestrator.prometheus.recording_rules import recording_rules

    with reporter.working("reading traces…") as update:
        records, trials = _recorded(home, wanted, update)
        earlier: dict[Key, float] = {
            (sweep_id, trial_id): by
            for sweep_id in records
            for trial_id, by in Placement.read(home.root, sweep_id).moved_by.items()
        }
        plan = planned(prometheus, trials, earlier, end_now=end_now, now=time.time())
        # Before the first sample: a push that breaks off is taken up again at the same place.
        for sweep_id in {trial.sweep_id for trial, _ in plan.placed}:
            by_trial = {trial.trial_id: by for trial, by in plan.placed if trial.sweep_id == sweep_id}
            Placement(by_trial).write(home.root, sweep_id)
        rules, written = recording_rules(bundled("prometheus/rules/recording.yml")), 0
        update(f"writing trial 1 of {len(plan.placed)}…")
        for number, samples in enumerate(push(prometheus, plan, records, rules), start=2):
            written += samples
            update(f"writing trial {min(number, len(plan.placed))} of {len(plan.placed)}…")
    windows = [trial.window(by) for trial, by in plan.placed]
    times = (min(begin for begin, _ in windows), max(end for _, end in windows)) if windows else None
    return Pushed([trial for trial, _ in plan.placed], plan.scraped, written, times)


def _recorded(
    home: Home, wanted: Sequence[str], update: Callable[[str], None]
) -> "tuple[dict[str, SweepRecord], list[RecordedTrial]]":
    """Return the sweeps by id, and the trials that have ended and recorded something, each once."""
    from orchestrator.backends import registry
    from orchestrator.prometheus.placement import RecordedTrial
    from orchestrator.sweeps.runner import running
    from orchestrator.trace.file import read_trace

    ledger = home.ledger()
    records, chosen = {}, {}
    for each in wanted:
        sweep, trial = ledger.find(each)
        records[sweep.sweep_id] = sweep
        goes_on = running(home.root, sweep) is not False
        for record in sweep.trials if trial is None else (trial,):
            if record.trace and not (record.status == "running" and goes_on):
                chosen[sweep.sweep_id, record.trial.trial_id] = record
    found = []
    for number, (key, record) in enumerate(chosen.items(), start=1):
        update(f"reading trace {number} of {len(chosen)}…")
        if events := read_trace(Path(record.trace)).events:
            simulated = not registry.real_time(record.trial.backend)
            found.append(RecordedTrial(*key, Path(record.trace), events[0].t, events[-1].t, simulated))
    if not found:
        raise InputError("no trial has ended there yet", "list all sweeps: orchestrate list")
    return records, found
