"""A recorded trial and its replay side by side, for the terminal and as JSON."""

import math
from collections.abc import Sequence
from itertools import zip_longest
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from orchestrator.backends import registry
from orchestrator.model.quantities import column_of
from orchestrator.replay.replay import DECISIVE, Validation
from orchestrator.report.terminal.table import FittedTable


def validation_table(validation: Validation) -> RenderableType:
    """Return each quantity as recorded and as simulated with its error, and when nodes were requested."""
    trial = validation.trial
    rows = FittedTable(
        trial.label(), "recorded", "simulated", "error", "error %", title=f"trial {trial.trial_id} and its replay"
    )
    for row in validation.comparisons:
        share = row.relative_error
        rows.add_row(
            column_of(row.name),
            _number(row.recorded),
            _number(row.simulated),
            _number(row.error, "+"),
            "-" if share is None else f"{round(share, 3) + 0.0:+.1%}",
        )
    requests = FittedTable("launch", "recorded s", "simulated s", "error")
    for number, (real, simulated) in enumerate(zip_longest(*validation.launches), start=1):
        error = None if real is None or simulated is None else simulated - real
        requests.add_row(str(number), _number(real), _number(simulated), _number(error, "+"))
    invalid = validation.recorded.invalid_because
    notes = [f"the recorded trial is invalid: {'; '.join(invalid)}"] if invalid else []
    notes += _lateness(validation)
    shown = [Text(f"note: {note}", style="yellow") for note in notes]
    return Group(rows, *([requests] if any(validation.launches) else []), *shown, Text())


def _lateness(validation: Validation) -> list[str]:
    """Return a sentence for the launches that came whole updates later or earlier than simulated, if there are any."""
    launches = validation.updates_late
    shifted = [each for each in launches if each]
    if not shifted:
        return []
    most = max(map(abs, shifted))
    updates = "one update" if most == 1 else f"up to {most} updates"
    direction = "later" if min(shifted) > 0 else "earlier" if max(shifted) < 0 else "later or earlier"
    interval = validation.trial.settings.update_interval_s
    return [
        f"{len(shifted)} of {len(launches)} launches came {updates} of the autoscaler ({interval:g} s) {direction} than"
        " simulated: an update can just miss demand or a node that another one sees"
    ]


def validation_summary(validations: Sequence[Validation]) -> RenderableType:
    """Return the largest error of the main times over all trials, what replays of simulated ones say, assumptions."""
    recorded = [each for each in validations if registry.real_time(each.trial.backend)]
    simulated = len(validations) - len(recorded)
    lines = [Text(_errors(recorded), style="bold")] if recorded else []
    if simulated:
        lines.append(
            Text(
                f"note: {simulated} of {len(validations)} trials were simulated: a replay repeats them, and shows "
                "nothing about real clusters",
                style="yellow",
            )
        )
    assumptions = dict.fromkeys(assumption for each in validations for assumption in each.assumptions)
    lines += [Text(f"assumption: {each}", style="yellow") for each in assumptions]
    return Group(*lines)


def _errors(validations: Sequence[Validation]) -> str:
    parts = []
    for name in reversed(DECISIVE):
        shares = [row.relative_error for each in validations for row in each.comparisons if row.name == name]
        known = [abs(share) for share in shares if share is not None]
        missing = len(shares) - len(known)
        within = f"within {math.ceil(max(known) * 100 - 1e-9)} %" if known else "unknown"
        parts.append(
            f"{name.removesuffix('_s').replace('_', ' ')} {within}"
            + (f" ({missing} unknown)" if known and missing else "")
        )
    equal = sum(1 for each in validations if each.recorded.launches == each.simulated.launches)
    late = sum(1 for each in validations if any((updates or 0) > 0 for updates in each.updates_late))
    trials = f"{len(validations)} trial{'' if len(validations) == 1 else 's'}"
    return f"{trials}: {', '.join(parts)}; launches equal in {equal} of {len(validations)}" + (
        f", late by an update or more in {late}" if late else ""
    )


def validation_document(validation: Validation) -> dict[str, Any]:
    """Return the same as JSON: times in seconds after the submission, relative errors as shares.

    `updates_late` has a number for each launch, see `Validation`.
    """
    recorded, simulated = validation.launches
    return {
        "trial_id": validation.trial.trial_id,
        "settings": validation.trial.settings.model_dump(mode="json"),
        "valid": validation.recorded.valid,
        "quantities": {
            row.name: {
                "recorded": row.recorded,
                "simulated": row.simulated,
                "error": row.error,
                "relative_error": row.relative_error,
            }
            for row in validation.comparisons
        },
        "launches": {"recorded": recorded, "simulated": simulated, "updates_late": validation.updates_late},
        "assumptions": list(validation.assumptions),
    }


def _number(value: float | None, sign: str = "") -> str:
    if value is None:
        return "-"
    if isinstance(value, int):
        return f"{value:{sign}d}"
    # -0.001 is no negative zero.
    return f"{round(value, 2) + 0.0:{sign}.2f}"
