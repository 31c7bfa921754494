"""`orchestrate recommend`: which setting to take, why, and what should make one doubt."""

from typing import Annotated

import typer

from orchestrator.cli.console import console, print_json
from orchestrator.errors import InputError
from orchestrator.lab.home import Home

EXAMPLES = """Examples:

  orchestrate recommend

  orchestrate recommend 3f2a90c1 --objective cost

  orchestrate recommend @last --objective 'makespan_s + 100*cost_usd' --json
"""


def recommend(
    context: typer.Context,
    wanted: Annotated[str, typer.Argument(metavar="SWEEP", help="A sweep by unique prefix, or @last.")] = "@last",
    objective: Annotated[
        str,
        typer.Option(metavar="EXPR", help="What is to be low: makespan, cost, or arithmetic over a sweep's numbers."),
    ] = "makespan",
    as_json: Annotated[bool, typer.Option("--json", help="Write JSON to stdout.")] = False,
) -> None:
    """Name the setting to take, the evidence and the doubt, and print the YAML for a cluster config."""
    from orchestrator.analysis.sweep import evidence
    from orchestrator.analysis.sweep.objective import Objective
    from orchestrator.report.terminal.recommendation import recommendation_document, recommendation_tables
    from orchestrator.sweep.ledger import results_of

    try:
        wish = Objective.parse(objective)
    except ValueError as error:
        raise InputError(f"--objective {objective!r}: {error}") from None
    common: Home = context.obj
    record, trial = common.ledger().find(wanted)
    if trial is not None:
        raise InputError(
            f"{wanted!r} is a trial: a setting is recommended among several", f"its sweep: {record.sweep_id}"
        )
    found = evidence.weigh(results_of(record.trials), wish)
    if as_json:
        print_json(recommendation_document(found))
    else:
        console().print(recommendation_tables(found))
