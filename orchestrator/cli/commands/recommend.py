"""`orchestrate recommend`: the setting to take, the evidence and the caveats."""

from typing import Annotated

import typer

from orchestrator.cli.completion import complete_objective
from orchestrator.cli.console import console, print_json
from orchestrator.cli.help import option
from orchestrator.cli.options import AsJson, SweepId
from orchestrator.errors import UNDECIDED
from orchestrator.lab.recommend import weigh_sweep

EXAMPLES = """Examples:

  orchestrate recommend

  orchestrate recommend 3f2a90c1 --objective cost

  orchestrate recommend @last --objective 'makespan_s + 100*cost_usd' --json
"""


def recommend(
    context: typer.Context,
    wanted: SweepId = "@last",
    objective: Annotated[
        str,
        option(
            metavar="EXPR",
            help="What to minimise: makespan, cost, or arithmetic over a sweep's numbers.",
            autocompletion=complete_objective,
        ),
    ] = "makespan",
    as_json: AsJson = False,
) -> int:
    """Recommend a setting with its evidence and caveats, and print the YAML for a cluster config."""
    from orchestrator.report.terminal.recommendation import recommendation_document, recommendation_tables
    from orchestrator.sweeps.runner import assumptions_of, provider_of, unpriced_of

    found, record = weigh_sweep(context.obj, wanted, objective)
    told = assumptions_of(record), provider_of(record)
    if as_json:
        print_json(recommendation_document(found, *told))
    else:
        console().print(recommendation_tables(found, *told, unpriced_of(record)))
    return UNDECIDED if found.best is None else 0
