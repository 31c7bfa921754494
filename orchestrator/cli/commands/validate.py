"""`orchestrate validate`: how well the simulator foretells what was recorded."""

from typing import Annotated

import typer

from orchestrator.cli.completion import complete_sweep_or_trial
from orchestrator.cli.console import console, print_json, reporter
from orchestrator.cli.help import option
from orchestrator.cli.options import AsJson
from orchestrator.errors import BREACHED, InputError
from orchestrator.lab.validate import replay_recordings

EXAMPLES = """Examples:

  orchestrate validate

  orchestrate validate 3f2a90c1 --within 15

  orchestrate validate 3f2a90c1/5bd0 trace.jsonl --json
"""


def validate(
    context: typer.Context,
    wanted: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[ID|FILE]...",
            help="Sweeps, trials or traces.  [default: @last]",
            show_default=False,
            autocompletion=complete_sweep_or_trial,
        ),
    ] = None,
    within: Annotated[
        float | None,
        option(
            metavar="PERCENT", help="End with exit code 4 if makespan or time to peak is off by more, or launches are."
        ),
    ] = None,
    as_json: AsJson = False,
) -> int:
    """Replay recorded trials in the simulator, with the boot times that they met, and show both side by side."""
    from orchestrator.report.terminal.replay import validation_document, validation_summary, validation_table

    if within is not None and not 0 <= within < float("inf"):
        raise InputError(f"--within: {within:g} is not a percentage", "for example --within 15")
    found = replay_recordings(context.obj, wanted or ["@last"], reporter())
    if as_json:
        print_json([validation_document(validation) for validation in found])
    else:
        for validation in found:
            console().print(validation_table(validation))
        console().print(validation_summary(found))
    worst = max(validation.worst for validation in found)
    return BREACHED if within is not None and worst > within / 100 else 0
