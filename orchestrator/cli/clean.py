"""`orchestrate clean`: find and remove what a killed run left."""

from typing import Annotated

import typer

from orchestrator.cli.context import Context, console, print_json

EXAMPLES = """Examples:

  orchestrate clean --dry-run

  orchestrate clean
"""


def clean(
    context: typer.Context,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be removed.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Also end clusters of sweeps that still run.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Write JSON to stdout.")] = False,
) -> None:
    """Remove processes and files that killed runs of this home left behind, and nothing else.

    The stack isn't such: orchestrate stack down ends it.
    """
    from orchestrator.backends.local.leftovers import find_leftovers, remove
    from orchestrator.sweep.runner import still_runs

    common: Context = context.obj
    found = find_leftovers(common.home, force=force)
    abandoned: list[str] = []
    if not dry_run:
        for leftover in found:
            remove(common.home, leftover)
        if common.home.is_dir():
            abandoned = common.ledger().interrupt_abandoned(still_runs)
    if as_json:
        print_json(
            {
                "removed": not dry_run,
                "clusters": [
                    {"cluster_id": each.cluster_id, "processes": each.pids, "folders": each.folders} for each in found
                ],
                "interrupted_sweeps": abandoned,
            }
        )
        return
    out = console()
    verb = "would remove" if dry_run else "removed"
    for each in found:
        what = f"{len(each.pids)} processes and {', '.join(each.folders) or 'no folder'}"
        out.print(f"{verb} local cluster {each.cluster_id}: {what}")
    for sweep_id in abandoned:
        out.print(f"sweep {sweep_id} was killed; go on with: orchestrate sweep --resume {sweep_id}")
    if not found and not abandoned:
        out.print("nothing to clean")
