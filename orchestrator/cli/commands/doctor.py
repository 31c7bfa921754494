"""`orchestrate doctor`: report what is ready on this machine, what is missing, and how to fix it."""

from pathlib import Path
from typing import Annotated

import typer

from orchestrator.backends.registry import LOCAL
from orchestrator.cli.completion import complete_backend
from orchestrator.cli.console import console, print_json
from orchestrator.cli.help import option
from orchestrator.cli.options import AsJson, known_backend
from orchestrator.errors import MissingPrerequisite
from orchestrator.lab.home import Home

EXAMPLES = """Examples:

  orchestrate doctor

  orchestrate doctor --backend aws --cluster cluster.yaml

  orchestrate doctor --json
"""

_STYLES = {"ok": "green", "warning": "yellow", "missing": "red"}


def doctor(
    context: typer.Context,
    backend: Annotated[
        str | None,
        option(
            "--backend",
            metavar="NAME",
            help="Report what this backend needs. A backend in a cloud must be named: aws asks your account.",
            callback=known_backend,
            autocompletion=complete_backend,
        ),
    ] = None,
    cluster: Annotated[
        Path | None,
        option(
            "--cluster",
            metavar="FILE",
            help="Cluster config to check, with --backend aws.  [default: the built-in cluster/BACKEND.yaml]",
        ),
    ] = None,
    as_json: AsJson = False,
) -> int:
    """Report what is ready on this machine, what is missing, and how to fix it. It changes nothing.

    Exit code 3 if a sweep can't run on local nodes, or on those of --backend; what only others need doesn't count.
    """
    from dataclasses import asdict

    from orchestrator.doctor.backends import backend_questions
    from orchestrator.doctor.checks import CLOUD_TIME_LIMIT_S, TIME_LIMIT_S, can_sweep, examine
    from orchestrator.doctor.machine import machine_questions
    from orchestrator.doctor.services import service_questions

    common: Home = context.obj
    home = common.root
    questions = [*machine_questions(home), *backend_questions(home, backend, cluster), *service_questions(home)]
    feature = "sweep" if backend in (None, LOCAL.name) else backend
    if backend is not None:
        questions = [question for question in questions if feature in question.needed_by]
    with console(stderr=True).status("looking around…"):
        checks = list(examine(questions, time_limit_s=TIME_LIMIT_S if backend is None else CLOUD_TIME_LIMIT_S))
    ready = can_sweep(checks, feature)
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
    name = LOCAL.name if backend is None else backend
    out.print(f"{name} sweeps can run" if ready else f"{name} sweeps can't run: see what is missing above")
    return 0 if ready else MissingPrerequisite.exit_code
