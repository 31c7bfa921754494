"""`orchestrate clean`: find and remove what a killed run left."""

from typing import Annotated, Any

import typer

from orchestrator.backends import registry
from orchestrator.cli.completion import complete_backend, complete_sweep
from orchestrator.cli.console import console, print_json
from orchestrator.cli.help import option
from orchestrator.cli.options import AsJson, known_backend
from orchestrator.lab.clean import Cleaned, clean_home

EXAMPLES = """Examples:

  orchestrate clean --dry-run

  orchestrate clean

  orchestrate clean --backend aws --region all --dry-run
"""


def clean(
    context: typer.Context,
    dry_run: Annotated[bool, option("--dry-run", help="Only say what would be removed.")] = False,
    force: Annotated[bool, option("--force", help="Also end clusters of sweeps that still run.")] = False,
    backend: Annotated[
        str | None,
        option(
            "--backend",
            metavar="NAME",
            help="Clean up after this backend only. A backend in a cloud must be named: aws looks into your account.",
            callback=known_backend,
            autocompletion=complete_backend,
        ),
    ] = None,
    region: Annotated[
        str | None,
        option(
            "--region",
            metavar="REGION|all",
            help="Region of the account to look into, with --backend aws.  [default: that of your AWS configuration]",
        ),
    ] = None,
    sweep: Annotated[
        str | None,
        option(
            "--sweep",
            metavar="SWEEP",
            help="Clean up after this sweep only, with --backend aws.",
            autocompletion=complete_sweep,
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Remove processes, containers, cloud resources and files that killed runs left behind, and nothing else.

    The stack isn't such: orchestrate stack down ends it.
    """
    cleaned = clean_home(context.obj, dry_run=dry_run, force=force, backend=backend, region=region, sweep=sweep)
    found = cleaned.found
    if as_json:
        print_json(_document(cleaned, removed=not dry_run))
    else:
        _print(cleaned, "would remove" if dry_run else "removed")
        if backend is not None and region is None and registry.kind(backend).cloud is not None:
            console().print("this is about the configured region only; to look everywhere: --region all")
    if (problem := found.problem()) is not None:
        raise problem


def _print(cleaned: Cleaned, verb: str) -> None:
    out, found = console(), cleaned.found
    for each in found.clusters:
        cost = "" if each.orphan.usd is None else f", about ${each.orphan.usd:.2f} until now"
        out.print(f"{verb} cluster {each.cluster_id}: {each.orphan.describe() or 'its name only'}{cost}")
        for line in each.orphan.details:
            out.print(f"  {line}")
    for orphan in found.in_use:
        out.print(f"cluster {orphan.cluster_id} is in use by {orphan.owner}: {orphan.describe()}; --force includes it")
    for sweep_id in cleaned.interrupted:
        out.print(f"sweep {sweep_id} was killed; go on with: orchestrate sweep --resume {sweep_id}")
    for folder in found.foreign:
        out.print(f"left alone {folder}: nothing in it proves that orchestrate made it", soft_wrap=True)
    if not found.clusters and not cleaned.interrupted and not found.hidden:
        out.print("nothing to clean")


def _document(cleaned: Cleaned, *, removed: bool) -> dict[str, Any]:
    found = cleaned.found
    return {
        "removed": removed,
        "clusters": [
            {
                "cluster_id": each.cluster_id,
                "processes": [int(pid) for pid in each.parts("process")],
                "containers": each.parts("container"),
                "networks": each.parts("network"),
                "folders": each.parts("folder"),
                "backends": list(each.backends),
                "parts": {kind: list(names) for kind, names in each.orphan.parts.items() if names},
                "sweep_id": each.orphan.sweep_id,
                "details": list(each.orphan.details),
                "cost_usd": each.orphan.usd,
            }
            for each in found.clusters
        ],
        "in_use": [{"cluster_id": each.cluster_id, "owner": each.owner} for each in found.in_use],
        "interrupted_sweeps": list(cleaned.interrupted),
        "left_alone": [str(folder) for folder in found.foreign],
    }
