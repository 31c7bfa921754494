"""`orchestrate clean`: find and remove what a killed run left."""

from typing import Annotated

import typer

from orchestrator.cli.console import console, print_json
from orchestrator.cli.help import option
from orchestrator.cli.options import AsJson
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
                        "processes": [int(pid) for pid in each.parts("process")],
                        "containers": each.parts("container"),
                        "networks": each.parts("network"),
                        "folders": each.parts("folder"),
                        "backends": list(each.backends),
                        "parts": {kind: list(names) for kind, names in each.orphan.parts.items() if names},
                    }
                    for each in found.clusters
                ],
                "interrupted_sweeps": list(cleaned.interrupted),
                "left_alone": [str(folder) for folder in found.foreign],
            }
        )
    else:
        out = console()
        verb = "would remove" if dry_run else "removed"
        for each in found.clusters:
            out.print(f"{verb} cluster {each.cluster_id}: {each.orphan.describe() or 'its name only'}")
        for sweep_id in cleaned.interrupted:
            out.print(f"sweep {sweep_id} was killed; go on with: orchestrate sweep --resume {sweep_id}")
        for folder in found.foreign:
            out.print(f"left alone {folder}: nothing in it proves that orchestrate made it", soft_wrap=True)
        if not found.clusters and not cleaned.interrupted and not found.hidden:
            out.print("nothing to clean")
    if (problem := found.problem()) is not None:
        raise problem
