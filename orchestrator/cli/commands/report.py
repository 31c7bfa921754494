"""`orchestrate report`: a sweep as one file to send to a colleague, or for a program."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from orchestrator.cli.console import reporter
from orchestrator.cli.help import option
from orchestrator.cli.options import SweepId
from orchestrator.errors import InputError
from orchestrator.lab.report import ReportFormat, report_text, sweep_to_report
from orchestrator.plain_text import visible

EXAMPLES = """Examples:

  orchestrate report

  orchestrate report 3f2a90c1 --to autoscaler.html

  orchestrate report @last --format md --to -
"""

_ENDINGS: dict[ReportFormat, str] = {"html": "html", "md": "md", "json": "json", "junit": "xml"}


def report(
    context: typer.Context,
    wanted: SweepId = "@last",
    form: Annotated[ReportFormat, option("--format", help="Format; html is one file that opens offline.")] = "html",
    to: Annotated[
        str | None,
        option(metavar="FILE", help="Where to write; - for stdout.  [default: SWEEP.html, .md, .json or .xml]"),
    ] = None,
) -> None:
    """Write a sweep's report: the recommendation, all settings, plots of the trials, what to trust, the command."""
    record = sweep_to_report(context.obj, wanted)
    target = to or f"{record.sweep_id}.{_ENDINGS[form]}"
    _check_target(target)
    with reporter().working("writing the report…"):
        text = report_text(context.obj, record, form)
    if target == "-":
        sys.stdout.write(visible(text) if sys.stdout.isatty() else text)
        return
    try:
        Path(target).write_text(text, encoding="utf-8")
    except OSError as error:
        raise InputError(f"--to: {target} can't be written: {error.strerror}") from None
    reporter().say(f"report of sweep {record.sweep_id}: {target} ({len(text.encode()) / 1e6:.1f} MB)")


def _check_target(target: str) -> None:
    """Raise InputError before anything is computed."""
    path = Path(target)
    if target != "-" and (path.is_dir() or not os.access(path if path.exists() else path.absolute().parent, os.W_OK)):
        raise InputError(f"--to: {target} can't be written", "name a file in a folder that exists, or - for stdout")
