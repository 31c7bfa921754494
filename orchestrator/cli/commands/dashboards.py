"""`orchestrate dashboards`: the Grafana boards, built from code and compared with what is committed."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.cli.commands import dashboards_push
from orchestrator.cli.console import console
from orchestrator.errors import InputError, MissingPrerequisite
from orchestrator.lab.home import Home

if TYPE_CHECKING:
    from orchestrator.grafana.boards.compare import ComparedTrial
    from orchestrator.sweep.ledger import SweepRecord, TrialRecord

EXAMPLES = """Examples:

  orchestrate dashboards build --to /var/lib/grafana/dashboards

  orchestrate dashboards check
"""
BUILD_EXAMPLES = """Examples:

  orchestrate dashboards build

  orchestrate dashboards build --to /var/lib/grafana/dashboards
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
    from orchestrator.grafana.boards.build import write_all

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


@dashboards.command(epilog=COMPARE_EXAMPLES)
def compare(
    context: typer.Context,
    trials: Annotated[
        list[str], typer.Argument(metavar="ID...", help="Two to four trials, or a sweep that has so many, as in show.")
    ],
    url: Annotated[
        str | None,
        typer.Option(metavar="URL", help="A Grafana that has the dashboards.  [default: that of the stack]"),
    ] = None,
) -> None:
    """Print the address of the board “Compare” with two to four trials over each other on one axis of elapsed time.

    There they can be chosen by hand, too.
    """
    from orchestrator.grafana.boards.compare import address
    from orchestrator.grafana.client import parse_address

    grafana = None if url is None else parse_address(url)
    chosen = [compared for each in trials for compared in _compared(context.obj, each)]
    try:
        console().print(address(grafana or _grafana_of_the_stack(context.obj), chosen), soft_wrap=True)
    except ValueError as error:
        raise InputError(str(error), "the trials of a sweep: orchestrate show SWEEP") from None


def _grafana_of_the_stack(common: Home) -> str:
    from orchestrator.stack.stack import Stack

    found = Stack(common.root).status().url("grafana")
    if found is None:
        raise MissingPrerequisite(
            "no Grafana of the stack runs here", "start it: orchestrate stack up; or name one of yours with --url"
        )
    return found


def _compared(common: Home, wanted: str) -> "list[ComparedTrial]":
    record, trial = common.ledger().find(wanted)
    return [_to_compare(common, record, each) for each in ([trial] if trial is not None else record.trials)]


def _to_compare(common: Home, record: "SweepRecord", trial: "TrialRecord") -> "ComparedTrial":
    from orchestrator.analysis.trial.window import submission
    from orchestrator.grafana.boards.compare import ComparedTrial
    from orchestrator.prometheus.placement import Placement
    from orchestrator.trace.file import read_trace

    trial_id = trial.trial.trial_id
    events = read_trace(Path(trial.trace)).events if trial.trace else ()
    start = submission(events)
    if start is None:
        raise InputError(f"trial {trial_id} hasn't recorded anything yet")
    if record.backend == "simulated" and trial_id not in Placement.read(common.root, record.sweep_id).moved_by:
        raise InputError(
            f"trial {trial_id} is simulated, and Prometheus hasn't seen it",
            f"first: orchestrate push {record.sweep_id}",
        )
    return ComparedTrial(record.sweep_id, trial_id, events[-1].t - start)


dashboards.command(epilog=dashboards_push.EXAMPLES)(dashboards_push.push)
