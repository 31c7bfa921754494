"""`orchestrate doctor`: report what is ready on this machine, what is missing, and how to fix it."""

import typer

from orchestrator.cli.console import console, print_json
from orchestrator.cli.options import AsJson
from orchestrator.errors import MissingPrerequisite
from orchestrator.lab.home import Home

EXAMPLES = """Examples:

  orchestrate doctor

  orchestrate doctor --json
"""

_STYLES = {"ok": "green", "warning": "yellow", "missing": "red"}


def doctor(
    context: typer.Context,
    as_json: AsJson = False,
) -> int:
    """Report what is ready on this machine, what is missing, and how to fix it. It changes nothing.

    Exit code 3 if a sweep can't run on local nodes; what only Docker or the stack need doesn't count.
    """
    from dataclasses import asdict

    from orchestrator.doctor.backends import backend_questions
    from orchestrator.doctor.checks import can_sweep, examine
    from orchestrator.doctor.machine import machine_questions
    from orchestrator.doctor.services import service_questions

    common: Home = context.obj
    questions = [*machine_questions(common.root), *backend_questions(common.root), *service_questions(common.root)]
    with console(stderr=True).status("looking around…"):
        checks = list(examine(questions))
    ready = can_sweep(checks)
    if as_json:
        print_json({"ready": ready, "checks": [asdict(check) for check in checks]})
        return 0 if ready else MissingPrerequisite.exit_code
    from rich.text import Text

    from orchestrator.report.terminal.table import FittedTable

    found = "found, and what to do"
    table = FittedTable("check", "state", "needed by", found, prose=("needed by", found), optional=("needed by",))
    table.columns[1].justify = "left"
    for check in checks:
        words = Text(check.detail)
        if check.hint:
            words.append(f"\n{check.hint}", style="cyan")
        state = Text(check.state, style=_STYLES[check.state])
        table.add_row(check.name, state, ", ".join(check.needed_by) or "-", words)
    out = console()
    out.print(table)
    out.print("local sweeps can run" if ready else "local sweeps can't run: see what is missing above")
    return 0 if ready else MissingPrerequisite.exit_code
