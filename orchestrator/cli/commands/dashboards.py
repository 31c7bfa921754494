"""`orchestrate dashboards`: the Grafana boards, built from code and compared with what is committed."""

from pathlib import Path
from typing import Annotated

import typer

from orchestrator.cli.commands import dashboards_push
from orchestrator.cli.completion import complete_sweep_or_trial
from orchestrator.cli.console import console
from orchestrator.cli.help import LabCommand, LabGroup, option
from orchestrator.errors import InputError
from orchestrator.lab.boards import address_of_comparison

EXAMPLES = """Examples:

  orchestrate dashboards build --to /var/lib/grafana/dashboards

  orchestrate dashboards check
"""
BUILD_EXAMPLES = """Examples:

  orchestrate dashboards build

  orchestrate dashboards build --to /var/lib/grafana/dashboards

  orchestrate dashboards build --for-import --to boards
"""
COMPARE_EXAMPLES = """Examples:

  orchestrate dashboards compare @last

  orchestrate dashboards compare 3f2a90c1/5bd0 3f2a90c1/77e1

  orchestrate dashboards compare 3f2a90c1/5bd0 81c0d4e2/5bd0 --url https://grafana.example.com
"""
CHECK_EXAMPLES = """Examples:

  orchestrate dashboards check

  orchestrate dashboards check --in /var/lib/grafana/dashboards
"""

dashboards = typer.Typer(
    cls=LabGroup,
    help="Build, check and push the Grafana dashboards: trial, compare, nodes, sweep, cluster, autoscaler health.",
    epilog=EXAMPLES,
    rich_markup_mode=None,
)


@dashboards.command(cls=LabCommand, epilog=BUILD_EXAMPLES)
def build(
    to: Annotated[Path, option(help="Folder for the JSON files; it is made if needed.")] = Path("grafana/dashboards"),
    for_import: Annotated[
        bool, option("--for-import", help="For Grafana's import by hand, which asks for the data source then.")
    ] = False,
) -> None:
    """Write the dashboards as JSON files, for Grafana's file provisioning or its import."""
    from orchestrator.grafana.boards.build import write_all

    out = console()
    try:
        for path in write_all(to, for_import=for_import):
            out.print(f"wrote {path}", soft_wrap=True)
    except OSError as error:
        raise InputError(f"--to: {to} can't be written: {error.strerror}", "choose another folder with --to") from None


@dashboards.command(cls=LabCommand, epilog=CHECK_EXAMPLES)
def check(
    in_: Annotated[
        Path | None, option("--in", help="Folder of the JSON files.  [default: those that came with orchestrate]")
    ] = None,
) -> None:
    """Build the dashboards and compare them with the files; exit code 1 and a line for each that differs."""
    from orchestrator.assets import bundled
    from orchestrator.grafana.boards.build import FOLDER, differences

    folder = in_ or bundled(FOLDER)
    if not folder.is_dir():
        raise InputError(f"--in: {folder} is no folder", "write the dashboards first: orchestrate dashboards build")
    lines = differences(folder)
    for line in lines:
        console().print(line, soft_wrap=True)
    if lines:
        raise typer.Exit(1)


@dashboards.command(cls=LabCommand, epilog=COMPARE_EXAMPLES)
def compare(
    context: typer.Context,
    trials: Annotated[
        list[str],
        typer.Argument(
            metavar="ID...",
            help="Two to four trials, or a sweep with as many, as in show.",
            autocompletion=complete_sweep_or_trial,
        ),
    ],
    url: Annotated[
        str | None,
        option(metavar="URL", help="A Grafana that has the dashboards.  [default: that of the stack]"),
    ] = None,
) -> None:
    """Print the address of the board “Compare” with two to four trials over each other on one axis of elapsed time.

    There they can be chosen by hand, too.
    """
    from orchestrator.grafana.client import grafana_address

    grafana = None if url is None else grafana_address(url)
    console().print(address_of_comparison(context.obj, trials, grafana), soft_wrap=True)


dashboards.command(cls=LabCommand, epilog=dashboards_push.EXAMPLES)(dashboards_push.push)
