"""`orchestrate list` and `orchestrate show`: what the ledger holds."""

import typer

from orchestrator.cli.console import console, print_json
from orchestrator.cli.options import AsJson, SweepOrTrialId
from orchestrator.lab.home import Home
from orchestrator.lab.show import trial_series

LIST_EXAMPLES = """Examples:

  orchestrate list

  orchestrate list --json
"""
SHOW_EXAMPLES = """Examples:

  orchestrate show @last

  orchestrate show 3f2a --json

  orchestrate show 3f2a90c1/5bd0
"""


def list_sweeps(context: typer.Context, as_json: AsJson = False) -> None:
    """List the sweeps and searches, the newest first."""
    from orchestrator.report.json_document import sweep_document
    from orchestrator.report.terminal.tables import ledger_table, searches_table

    common: Home = context.obj
    ledger = common.ledger()
    records = ledger.sweeps()
    for problem in ledger.unreadable.values():
        console(stderr=True).print(f"not listed: {problem}")
    if as_json:
        print_json([sweep_document(record).model_dump(mode="json") for record in records])
        return
    searches = common.searches.all()
    if records:
        console().print(ledger_table(records))
    if searches:
        console().print(searches_table(searches, common.searches.url))
    if records or searches or ledger.unreadable:
        return
    console(stderr=True).print("no sweeps yet; run one: orchestrate sweep --upscaling-speed 1,5,10")


def show(
    context: typer.Context,
    wanted: SweepOrTrialId = "@last",
    as_json: AsJson = False,
) -> None:
    """Show a sweep's results and its trials, or all that is known of one trial."""
    from orchestrator.report.json_document import shown_trial_document, sweep_document
    from orchestrator.report.terminal.tables import sweep_table, trial_tables, trials_table
    from orchestrator.report.terminal.trend import trial_trends
    from orchestrator.sweeps.runner import assumptions_of

    common: Home = context.obj
    record, trial = common.ledger().find(wanted)
    if as_json:
        document = sweep_document(record) if trial is None else shown_trial_document(trial, record)
        print_json(document.model_dump(mode="json"))
    elif trial is None:
        console().print(sweep_table(record))
        console().print()
        console().print(trials_table(record))
    else:
        console().print(trial_tables(trial, assumptions_of(record)))
        found = trial_series(trial)
        console().print(f"no trend: {found}" if isinstance(found, str) else trial_trends(found))
