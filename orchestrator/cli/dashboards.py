"""`orchestrate dashboards`: the Grafana boards, built from code and compared with what is committed."""

from pathlib import Path
from typing import Annotated

import typer

from orchestrator.cli import dashboards_push
from orchestrator.cli.context import console
from orchestrator.errors import InputError

EXAMPLES = """Examples:

  orchestrate dashboards build --to /var/lib/grafana/dashboards

  orchestrate dashboards check
"""
BUILD_EXAMPLES = """Examples:

  orchestrate dashboards build

  orchestrate dashboards build --to /var/lib/grafana/dashboards
"""
CHECK_EXAMPLES = """Examples:

  orchestrate dashboards check

  orchestrate dashboards check --in /var/lib/grafana/dashboards
"""

dashboards = typer.Typer(
    help="Build, check and push the Grafana dashboards: trial, compare, nodes, sweep and autoscaler health.",
    epilog=EXAMPLES,
    rich_markup_mode=None,
)


@dashboards.command(epilog=BUILD_EXAMPLES)
def build(
    to: Annotated[Path, typer.Option(help="Folder for the JSON files; it is made if needed.")] = Path(
        "grafana/dashboards"
    ),
) -> None:
    """Write the dashboards as JSON files, for Grafana's file provisioning or its import."""
    from orchestrator.grafana.build import write_all

    out = console()
    try:
        for path in write_all(to):
            out.print(f"wrote {path}", soft_wrap=True)
    except OSError as error:
        raise InputError(f"--to: {to} can't be written: {error.strerror}", "choose another folder with --to") from None


@dashboards.command(epilog=CHECK_EXAMPLES)
def check(
    in_: Annotated[
        Path | None, typer.Option("--in", help="Folder of the JSON files.  [default: those that came with orchestrate]")
    ] = None,
) -> None:
    """Build the dashboards and compare them with the files; exit code 1 and a line for each that differs."""
    from orchestrator.bundle import bundled
    from orchestrator.grafana.build import FOLDER, differences

    folder = in_ or bundled(FOLDER)
    if not folder.is_dir():
        raise InputError(f"--in: {folder} is no folder", "write the dashboards first: orchestrate dashboards build")
    lines = differences(folder)
    for line in lines:
        console().print(line, soft_wrap=True)
    if lines:
        raise typer.Exit(1)


dashboards.command(epilog=dashboards_push.EXAMPLES)(dashboards_push.push)
