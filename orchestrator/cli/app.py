"""The `orchestrate` command and its subcommands; each imports what it needs when it runs, so that help is instant."""

from pathlib import Path
from typing import Annotated

import typer

from orchestrator.cli.commands import (
    clean,
    compare,
    dashboards,
    doctor,
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
from orchestrator.lab.home import Home
from orchestrator.version import __version__

app = typer.Typer(
    name="orchestrate",
    help="A laboratory for the Ray autoscaler: which setting is faster, which is cheaper, and is the difference real?",
    epilog="Begin with: orchestrate sweep --upscaling-speed 1,5,10",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"orchestrate {__version__}")
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
    _version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    context.obj = Home(home.resolve(), ledger_url)


app.command(epilog=sweep.EXAMPLES)(sweep.sweep)
app.command(epilog=simulate.EXAMPLES)(simulate.simulate)
app.command(epilog=validate.EXAMPLES)(validate.validate)
app.command(epilog=recommend.EXAMPLES)(recommend.recommend)
app.command(epilog=compare.EXAMPLES)(compare.compare)
app.command(name="list", epilog=ledger.LIST_EXAMPLES)(ledger.list_sweeps)
app.command(epilog=ledger.SHOW_EXAMPLES)(ledger.show)
app.command(epilog=report.EXAMPLES)(report.report)
app.command(epilog=export.EXAMPLES)(export.export)
app.command(epilog=push.EXAMPLES)(push.push)
app.add_typer(dashboards.dashboards, name="dashboards")
app.command(epilog=status.EXAMPLES)(status.status)
app.command(epilog=observe.EXAMPLES)(observe.observe)
app.add_typer(stack.app, name="stack")
app.command(epilog=clean.EXAMPLES)(clean.clean)
app.command(epilog=doctor.EXAMPLES)(doctor.doctor)
