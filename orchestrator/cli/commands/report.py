"""`orchestrate report`: a sweep as one file to send to a colleague, or for a program."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.cli.console import console
from orchestrator.errors import InputError
from orchestrator.lab.home import Home

if TYPE_CHECKING:
    from orchestrator.sweep.ledger import SweepRecord

EXAMPLES = """Examples:

  orchestrate report

  orchestrate report 3f2a90c1 --to autoscaler.html

  orchestrate report @last --format md --to -
"""

_ENDINGS = {"html": "html", "md": "md", "json": "json", "junit": "xml"}


def report(
    context: typer.Context,
    wanted: Annotated[str, typer.Argument(metavar="SWEEP", help="A sweep by unique prefix, or @last.")] = "@last",
    form: Annotated[
        str, typer.Option("--format", help="html (one file that opens offline), md, json or junit.")
    ] = "html",
    to: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Where to write; - for stdout.  [default: SWEEP.html, .md, .json or .xml]"),
    ] = None,
) -> None:
    """Write a sweep's report: the recommendation, all settings, plots of the trials, what to trust, the command."""
    if form not in _ENDINGS:
        raise InputError(f"--format: {form!r} is none of {', '.join(_ENDINGS)}")
    common: Home = context.obj
    record, trial = common.ledger().find(wanted)
    if trial is not None:
        raise InputError(
            f"{wanted!r} is a trial: a report is about a sweep",
            f"its sweep: orchestrate report {record.sweep_id}; the trial alone: orchestrate show {wanted}",
        )
    target = to or f"{record.sweep_id}.{_ENDINGS[form]}"
    _check_target(target)
    with console(stderr=True).status("writing the report…"):
        text = _text(common, record, form)
    if target == "-":
        sys.stdout.write(text)
        return
    try:
        Path(target).write_text(text, encoding="utf-8")
    except OSError as error:
        raise InputError(f"--to: {target} can't be written: {error.strerror}") from None
    console(stderr=True).print(f"report of sweep {record.sweep_id}: {target} ({len(text.encode()) / 1e6:.1f} MB)")


def _text(common: Home, record: "SweepRecord", form: str) -> str:
    if form == "json":
        from orchestrator.report.json_document import sweep_document

        return sweep_document(record).model_dump_json(indent=2) + "\n"
    if form == "junit":
        from orchestrator.report.junit import junit_xml

        return junit_xml(record)
    from orchestrator.report.document.content import gather
    from orchestrator.sweep.folder import SweepFolder

    found = gather(record, cluster=SweepFolder.of(common.root, record.sweep_id).cluster)
    if form == "md":
        from orchestrator.report.document.markdown import markdown

        return markdown(found)
    from orchestrator.report.document.html import html_page

    return html_page(found)


def _check_target(target: str) -> None:
    """Raises InputError before anything is computed."""
    path = Path(target)
    if target != "-" and (path.is_dir() or not os.access(path if path.exists() else path.absolute().parent, os.W_OK)):
        raise InputError(f"--to: {target} can't be written", "name a file in a folder that exists, or - for stdout")
