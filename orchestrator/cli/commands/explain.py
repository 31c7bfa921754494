"""`orchestrate explain`: why each node of a trial came, and why none came."""

from typing import Annotated

import typer

from orchestrator.cli.completion import complete_sweep_or_trial
from orchestrator.cli.console import console, print_json
from orchestrator.cli.help import option
from orchestrator.cli.options import AsJson
from orchestrator.cli.parsing import parse_duration
from orchestrator.errors import InputError
from orchestrator.lab.explain import recorded_trial

EXAMPLES = """Examples:

  orchestrate explain 3f2a90c1/5bd0

  orchestrate explain 3f2a90c1/5bd0 --at 45s

  orchestrate explain trace.jsonl --json
"""


def explain(
    context: typer.Context,
    wanted: Annotated[
        str,
        typer.Argument(
            metavar="TRIAL", help="A trial, as in show, or its trace.", autocompletion=complete_sweep_or_trial
        ),
    ],
    at: Annotated[
        str | None,
        option(metavar="DURATION", help="A moment after the submission, such as 45s: what is waited for, and why."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Explain from the trace why each node came or went, and which rule kept others from coming."""
    from orchestrator.analysis.trial.explain import explain, explain_at
    from orchestrator.report.terminal import explanation as report

    moment = None if at in ("0", "0s") else parse_duration("--at", at)
    trial, trace, assumptions = recorded_trial(context.obj, wanted)
    if at is not None:
        state = explain_at(trial, trace.events, moment or 0.0)
        if state is not None:
            if as_json:
                print_json(report.state_document(state, assumptions))
            else:
                console().print(report.state_table(state, assumptions))
            return
    elif (found := explain(trial, trace.events)) is not None:
        if as_json:
            print_json(report.explanation_document(found, assumptions))
        else:
            console().print(report.explanation_tables(found, assumptions))
        return
    raise InputError(f"trial {trial.trial_id} submitted no task", "explain a trial that is done")
