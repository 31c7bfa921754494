"""Sweeps that are written into a ledger without being run."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from orchestrator.model.scorecard import Scorecard
from orchestrator.sweeps.ledger import Ledger
from tests.support.builders import scorecard, trial


def write_sweep(
    home: Path,
    makespans: Mapping[int, Sequence[float]],
    *,
    sweep_id: str = "c0ffee00",
    environment: dict[str, Any] | None = None,
    workload: dict[str, Any] | None = None,
    **card: Any,
) -> Ledger:
    """Write a finished sweep: for each upscaling speed, a repeat with each makespan. `card` is the same in all."""
    home.mkdir(exist_ok=True)
    ledger = Ledger(f"sqlite:///{home / 'ledger.db'}")
    cards: dict[str, Scorecard] = {}
    trials = []
    for speed, values in makespans.items():
        for repeat, makespan in enumerate(values, start=1):
            each = trial(repeat=repeat, seed=repeat, upscaling_speed=speed, workload=workload)
            trials.append(each)
            cards[each.trial_id] = scorecard(makespan, **card)
    spec = {"backend": "local"}
    ledger.add_sweep(sweep_id, trials, name="", backend="local", spec=spec, environment=environment or {})
    for each in trials:
        ledger.start_trial(sweep_id, each.trial_id, "")
        ledger.end_trial(sweep_id, each.trial_id, "done", scorecard=cards[each.trial_id])
    ledger.set_sweep_status(sweep_id, "done")
    return ledger
