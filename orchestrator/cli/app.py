"""The `orchestrate` command and its subcommands; each imports what it needs when it runs, so that help is instant."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from orchestrator import logs
from orchestrator.cli.commands import (
    clean,
    compare,
    dashboards,
    doctor,
    explain,
    export,
    observe,
    push,
    recommend,
    report,
    simulate,
    stack,
    status,
    sweep,
    validate,
)
from orchestrator.cli.commands import list_show as ledger
from orchestrator.cli.help import LabCommand, LabGroup, option
from orchestrator.lab.home import Home
from orchestrator.version import __version__

app = typer.Typer(
    name="orchestrate",
    cls=LabGroup,
    help="A laboratory for the Ray autoscaler: which setting is faster, which is cheaper, and is the difference real?",
    epilog="Begin with: orchestrate sweep --upscaling-speed 1,5,10",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        from orchestrator.errors import MissingPrerequisite
        from orchestrator.rayapi.version import ray_version

        try:
            ray = f"Ray {ray_version()}"
        except MissingPrerequisite:
            ray = "without Ray"  # not logged: it is the answer
        typer.echo(f"orchestrate {__version__} ({ray})")
        raise typer.Exit


@app.callback()
def _common(
    context: typer.Context,
    home: Annotated[
        Path, typer.Option(help="Where sweeps, traces and the ledger are kept.", envvar="ORCHESTRATE_HOME")
    ] = Path(".orchestrate"),
    ledger_url: Annotated[
        str,
        typer.Option(
            "--ledger",
            help="SQLAlchemy URL of the ledger; default: ledger.db under the home.",
            envvar="ORCHESTRATE_LEDGER",
            show_default=False,
        ),
    ] = "",
    verbose: Annotated[
        int,
        option(
            "--verbose",
            "-v",
            count=True,
            help="Log to stderr; -vv logs everything. ORCHESTRATE_LOG=debug:FILE logs to a file.",
            show_default=False,
        ),
    ] = 0,
    _version: Annotated[
        bool, option("--version", help="Print the version, and Ray's.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    logs.configure(verbose)
    logs.hide(ledger_url)
    context.obj = Home(home.resolve(), ledger_url, home)


def _add(command: Callable[..., Any], examples: str, name: str | None = None) -> None:
    app.command(name=name, cls=LabCommand, epilog=examples)(command)


_add(sweep.sweep, sweep.EXAMPLES)
_add(simulate.simulate, simulate.EXAMPLES)
_add(validate.validate, validate.EXAMPLES)
_add(recommend.recommend, recommend.EXAMPLES)
_add(compare.compare, compare.EXAMPLES)
_add(ledger.list_sweeps, ledger.LIST_EXAMPLES, name="list")
_add(ledger.show, ledger.SHOW_EXAMPLES)
_add(explain.explain, explain.EXAMPLES)
_add(report.report, report.EXAMPLES)
_add(export.export, export.EXAMPLES)
_add(push.push, push.EXAMPLES)
app.add_typer(dashboards.dashboards, name="dashboards")
_add(status.status, status.EXAMPLES)
_add(observe.observe, observe.EXAMPLES)
app.add_typer(stack.app, name="stack")
_add(clean.clean, clean.EXAMPLES)
_add(doctor.doctor, doctor.EXAMPLES)
