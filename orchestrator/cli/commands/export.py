"""`orchestrate export`: a sweep's trials and traces as tables, for notebooks and spreadsheets."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.cli.console import console, reporter
from orchestrator.cli.help import option
from orchestrator.cli.options import SweepOrTrialId
from orchestrator.lab.export import TableFormat, export_tables

if TYPE_CHECKING:
    from orchestrator.sweeps.ledger import TrialRecord

EXAMPLES = """Examples:

  orchestrate export

  orchestrate export 3f2a90c1 --format csv --to tables

  orchestrate export 3f2a90c1/5bd0 --force
"""

_NAMED_AT_MOST = 5


def export(
    context: typer.Context,
    wanted: SweepOrTrialId = "@last",
    format: Annotated[TableFormat, option(help="Format of the tables.")] = "parquet",
    to: Annotated[Path | None, option(metavar="FOLDER", help="Folder to write.  [default: ID-export]")] = None,
    force: Annotated[bool, option("--force", help="Overwrite an earlier export.")] = False,
) -> None:
    """Write trials, nodes, tasks, demand, supply, scaling events and faults as tables, and a dictionary of columns."""
    done = export_tables(context.obj, wanted, format, to, reporter(), overwrite=force)
    _note_missing_traces(done.without_trace)
    console().print(
        f"{done.folder}: {done.trials} trials, {done.nodes} nodes, {done.events} scaling events;"
        f" data-dictionary.md explains the columns"
    )
    for each in done.assumptions:
        console().print(f"assumption: {each}", style="yellow", markup=False, highlight=False)


def _note_missing_traces(records: "Sequence[TrialRecord]") -> None:
    if records:
        named = [f"{record.trial.trial_id} ({record.status})" for record in records[:_NAMED_AT_MOST]]
        more = len(records) - len(named)
        text = ", ".join(named) + (f" and {more} more" if more else "")
        reporter().say(f"note: no trace, so only a row in trials: {text}")
