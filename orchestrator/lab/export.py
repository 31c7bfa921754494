"""Writes the trials and traces of a sweep as tables."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from orchestrator.errors import InputError
from orchestrator.lab.home import Home
from orchestrator.lab.progress import Reporter

if TYPE_CHECKING:
    from orchestrator.sweeps.ledger import TrialRecord

TableFormat = Literal["parquet", "csv"]


@dataclass(frozen=True)
class Exported:
    """The folder that was written, the sizes of its tables, the trials that have no trace, and all assumptions."""

    folder: Path
    trials: int
    nodes: int
    events: int
    without_trace: "Sequence[TrialRecord]"
    assumptions: Sequence[str]


def export_tables(
    home: Home, wanted: str, form: TableFormat, to: Path | None, reporter: Reporter, *, overwrite: bool
) -> Exported:
    """Write the tables into a folder, by default `ID-export`. Raises InputError before traces are read."""
    from orchestrator.report.export.frames import files, has_trace, trace_frames, trials_frame, write
    from orchestrator.sweeps.runner import assumptions_of, prices_of

    sweep, trial = home.ledger().find(wanted)
    records = sweep.trials if trial is None else (trial,)
    folder = to or Path(f"{sweep.sweep_id if trial is None else trial.trial.trial_id}-export")
    _check_folder(folder)
    if not overwrite and (existing := [path.name for path in files(folder, form) if path.exists()]):
        raise InputError(f"{folder} holds {existing[0]} already", "--force overwrites it, --to names another folder")
    recorded = [record for record in records if has_trace(record)]
    with reporter.working("") as update:
        numbers = iter(range(1, len(recorded) + 1))
        frames = trace_frames(
            recorded, prices_of(sweep), lambda _: update(f"reading trial {next(numbers)} of {len(recorded)}…")
        )
    try:
        write(folder, form, trials_frame(records), frames, assumptions_of(sweep))
    except OSError as error:
        raise InputError(f"{folder} can't be written: {error.strerror or error}", "choose another with --to") from None
    without = [record for record in records if not has_trace(record)]
    return Exported(folder, len(records), len(frames.nodes), len(frames.events), without, assumptions_of(sweep))


def _check_folder(folder: Path) -> None:
    """Raise InputError if the folder couldn't be written."""
    nearest = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    if not nearest.is_dir() or not os.access(nearest, os.W_OK | os.X_OK):
        raise InputError(f"{folder} can't be written", "choose another with --to")
