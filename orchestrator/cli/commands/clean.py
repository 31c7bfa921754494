"""`orchestrate clean`: find and remove what a killed run left."""

from typing import Annotated

import typer

from orchestrator.cli.console import console, print_json
from orchestrator.cli.help import option
from orchestrator.cli.options import AsJson
from orchestrator.errors import MissingPrerequisite
from orchestrator.lab.clean import clean_home

EXAMPLES = """Examples:

  orchestrate clean --dry-run

  orchestrate clean
"""


def clean(
    context: typer.Context,
    dry_run: Annotated[bool, option("--dry-run", help="Only say what would be removed.")] = False,
    force: Annotated[bool, option("--force", help="Also end clusters of sweeps that still run.")] = False,
    as_json: AsJson = False,
) -> None:
    """Remove processes, containers and files that killed runs of this home left behind, and nothing else.

    The stack isn't such: orchestrate stack down ends it.
    """
    cleaned = clean_home(context.obj, dry_run=dry_run, force=force)
    found = cleaned.found
    if as_json:
        print_json(
            {
                "removed": not dry_run,
                "clusters": [
                    {
                        "cluster_id": each.cluster_id,
                        "processes": each.pids,
                        "containers": each.containers,
                        "networks": each.networks,
                        "folders": each.folders,
                    }
                    for each in found.clusters
                ],
                "interrupted_sweeps": list(cleaned.interrupted),
            }
        )
    else:
        out = console()
        verb = "would remove" if dry_run else "removed"
        for each in found.clusters:
            out.print(f"{verb} cluster {each.cluster_id}: {each.describe() or 'its name only'}")
        for sweep_id in cleaned.interrupted:
            out.print(f"sweep {sweep_id} was killed; go on with: orchestrate sweep --resume {sweep_id}")
        if not found.clusters and not cleaned.interrupted and found.hidden is None:
            out.print("nothing to clean")
    if found.hidden is not None:
        raise MissingPrerequisite(f"a killed run's containers can't be looked for: {found.hidden}", found.hidden.hint)
