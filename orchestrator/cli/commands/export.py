"""`orchestrate export`: a sweep's trials and traces as tables, for notebooks and spreadsheets."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from orchestrator.cli.console import console
from orchestrator.errors import InputError
from orchestrator.lab.home import Home

if TYPE_CHECKING:
    from orchestrator.sweep.ledger import TrialRecord

EXAMPLES = """Examples:

  orchestrate export

  orchestrate export 3f2a90c1 --format csv --to tables

  orchestrate export 3f2a90c1/5bd0 --force
"""

_NAMED_AT_MOST = 5


def export(
    context: typer.Context,
    wanted: Annotated[
        str, typer.Argument(metavar="ID", help="A sweep, a trial or SWEEP/TRIAL by unique prefix, or @last.")
    ] = "@last",
    format: Annotated[Literal["parquet", "csv"], typer.Option(help="Format of the tables.")] = "parquet",
    to: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Where to write them.  [default: ID-export]")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite an earlier export.")] = False,
) -> None:
    """Write trials, nodes, tasks, demand, supply, scaling events and faults as tables, and a dictionary of columns."""
    from orchestrator.report.export.frames import files, has_trace, trace_frames, trials_frame, write
    from orchestrator.sweep.runner import prices_of

    common: Home = context.obj
    sweep, trial = common.ledger().find(wanted)
    records = sweep.trials if trial is None else (trial,)
    folder = to or Path(f"{sweep.sweep_id if trial is None else trial.trial.trial_id}-export")
    _check_folder(folder)
    if not force and (existing := [path.name for path in files(folder, format) if path.exists()]):
        raise InputError(f"{folder} holds {existing[0]} already", "--force overwrites it, --to names another folder")
    recorded = [record for record in records if has_trace(record)]
    with console(stderr=True).status("") as status:
        numbers = iter(range(1, len(recorded) + 1))
        frames = trace_frames(
            recorded, prices_of(sweep), lambda _: status.update(f"reading trial {next(numbers)} of {len(recorded)}…")
        )
    try:
        write(folder, format, trials_frame(records), frames)
    except OSError as error:
        raise InputError(f"{folder} can't be written: {error.strerror or error}", "choose another with --to") from None
    _tell_of_those_without_trace([record for record in records if not has_trace(record)])
    console().print(
        f"{folder}: {len(records)} trials, {len(frames.nodes)} nodes, {len(frames.events)} scaling events;"
        f" data-dictionary.md explains the columns"
    )


def _check_folder(folder: Path) -> None:
    """Raises InputError now, and not after all traces were read, if the folder couldn't be written."""
    there = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        raise InputError(f"{folder} can't be written", "choose another with --to")


def _tell_of_those_without_trace(records: "list[TrialRecord]") -> None:
    if records:
        named = [f"{record.trial.trial_id} ({record.status})" for record in records[:_NAMED_AT_MOST]]
        more = len(records) - len(named)
        text = ", ".join(named) + (f" and {more} more" if more else "")
        console(stderr=True).print(f"note: no trace, so only a row in trials: {text}")
