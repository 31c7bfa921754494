"""`orchestrate validate`: how well the simulator foretells what was recorded."""

from typing import Annotated

import typer

from orchestrator.cli.console import console, print_json
from orchestrator.errors import InputError
from orchestrator.lab.home import Home

EXAMPLES = """Examples:

  orchestrate validate

  orchestrate validate 3f2a90c1 --within 15

  orchestrate validate 3f2a90c1/5bd0 trace.jsonl --json
"""

BREACHED = 4


def validate(
    context: typer.Context,
    wanted: Annotated[
        list[str] | None,
        typer.Argument(metavar="[ID|FILE]...", help="Sweeps, trials or traces.  [default: @last]", show_default=False),
    ] = None,
    within: Annotated[
        float | None,
        typer.Option(
            metavar="PERCENT", help="End with exit code 4 if makespan or time to peak is off by more, or launches are."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Write JSON to stdout.")] = False,
) -> int:
    """Replay recorded trials in the simulator, with the boot times that they met, and show both side by side."""
    from orchestrator.rayapi.virtual.patching import require_supported_ray
    from orchestrator.replay.replay import validate
    from orchestrator.report.terminal.replay import validation_document, validation_table
    from orchestrator.trace.file import read_trace

    if within is not None and not 0 <= within < float("inf"):
        raise InputError(f"--within: {within:g} is no percentage", "for example --within 15")
    require_supported_ray()
    common: Home = context.obj
    paths = [path for source in wanted or ["@last"] for path in common.trace_files(source)]
    if not paths:
        raise InputError("nothing was recorded there yet", "see what there is: orchestrate list")
    found = []
    with console(stderr=True).status("") as status:
        for number, path in enumerate(paths, start=1):
            status.update(f"replaying trial {number} of {len(paths)}…")
            try:
                found.append(validate(read_trace(path)))
            except InputError as error:
                raise InputError(f"{path}: {error.message}", error.hint) from None
    if as_json:
        print_json([validation_document(validation) for validation in found])
    else:
        for validation in found:
            console().print(validation_table(validation))
    worst = max(validation.worst for validation in found)
    return BREACHED if within is not None and worst > within / 100 else 0
