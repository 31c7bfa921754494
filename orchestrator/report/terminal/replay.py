"""A recorded trial and its replay side by side, for the terminal and as JSON."""

from itertools import zip_longest
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from orchestrator.model.quantities import column_of
from orchestrator.replay.replay import Validation
from orchestrator.report.terminal.tables import new_table


def validation_table(validation: Validation) -> RenderableType:
    """Return each quantity as recorded and as simulated with its error, and when nodes were requested."""
    trial = validation.trial
    rows = new_table(
        trial.label(), "recorded", "simulated", "error", "error %", title=f"trial {trial.trial_id} and its replay"
    )
    for row in validation.comparisons:
        share = row.relative_error
        rows.add_row(
            column_of(row.name),
            _number(row.recorded),
            _number(row.simulated),
            _number(row.error, "+"),
            "-" if share is None else f"{share:+.1%}",
        )
    requests = new_table("launch", "recorded s", "simulated s", "error")
    for number, (real, simulated) in enumerate(zip_longest(*validation.launches), start=1):
        error = None if real is None or simulated is None else simulated - real
        requests.add_row(str(number), _number(real), _number(simulated), _number(error, "+"))
    invalid = validation.recorded.invalid_because
    notes = [Text(f"note: the recorded trial is invalid: {'; '.join(invalid)}", style="yellow")] if invalid else []
    return Group(rows, *([requests] if any(validation.launches) else []), *notes, Text())


def validation_document(validation: Validation) -> dict[str, Any]:
    """Return the same as JSON: times in seconds after the submission, relative errors as shares."""
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
        "launches": {"recorded": recorded, "simulated": simulated},
    }


def _number(value: float | None, sign: str = "") -> str:
    if value is None:
        return "-"
    return f"{value:{sign}d}" if isinstance(value, int) else f"{value:{sign}.2f}"
