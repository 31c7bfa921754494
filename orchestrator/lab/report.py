"""Writes the report of a sweep as text in one of several formats."""

from typing import TYPE_CHECKING, Literal

from orchestrator.errors import InputError
from orchestrator.lab.home import Home

if TYPE_CHECKING:
    from orchestrator.sweeps.ledger import SweepRecord

ReportFormat = Literal["html", "md", "json", "junit"]


def sweep_to_report(home: Home, wanted: str) -> "SweepRecord":
    """Return the sweep with this id. Raises InputError for a trial's id, and UnknownId."""
    record, trial = home.ledger().find(wanted)
    if trial is not None:
        raise InputError(
            f"{wanted!r} is a trial: a report is about a sweep",
            f"its sweep: orchestrate report {record.sweep_id}; the trial alone: orchestrate show {wanted}",
        )
    return record


def report_text(home: Home, record: "SweepRecord", form: ReportFormat) -> str:
    """Return the report of a sweep."""
    if form == "json":
        from orchestrator.report.json_document import sweep_document

        return sweep_document(record).model_dump_json(indent=2) + "\n"
    if form == "junit":
        from orchestrator.report.junit import junit_xml

        return junit_xml(record)
    from orchestrator.report.document.content import gather
    from orchestrator.sweeps.folder import SweepFolder

    found = gather(record, cluster=SweepFolder.of(home.root, record.sweep_id).cluster)
    if form == "md":
        from orchestrator.report.document.markdown import markdown

        return markdown(found)
    from orchestrator.report.document.html import html_page

    return html_page(found)
