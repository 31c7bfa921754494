"""Removes what killed runs left behind."""

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from orchestrator.errors import InputError, UnknownId
from orchestrator.lab.home import Home

if TYPE_CHECKING:
    from orchestrator.backends.cleanup import Search

_FULL_ID = re.compile("[0-9a-f]{8}")


@dataclass(frozen=True)
class Cleaned:
    """The clusters that were left behind, and the ids of sweeps that are now marked as interrupted."""

    found: "Search"
    interrupted: tuple[str, ...]


def clean_home(
    home: Home,
    *,
    dry_run: bool,
    force: bool,
    backend: str | None = None,
    region: str | None = None,
    sweep: str | None = None,
) -> Cleaned:
    """Remove leftovers of this home; with `dry_run`, only find them.

    `force` includes clusters of running sweeps, and takes sweeps of machines that can't be looked at for ended.
    `backend` limits this to one backend, which is the only way to reach an account in a cloud: there it finds clusters
    of other homes and machines as well, in `region`. `sweep` is the id of the only sweep to clean up after.
    """
    from orchestrator.backends import registry
    from orchestrator.backends.cleanup import find_abandoned, remove
    from orchestrator.sweeps.runner import running

    home.check()
    only = None if backend is None else registry.kind(backend)
    if region is not None or sweep is not None:
        clouds = ", ".join(kind.name for kind in registry.kinds() if kind.cloud is not None)
        if only is None or only.cloud is None:
            option = "--region" if region is not None else "--sweep"
            raise InputError(f"{option} is for backends in a cloud", f"name one with --backend: {clouds}")
        only = only if region is None else only.cloud.regions(region)
    found = find_abandoned(home.root, force=force, only=only)
    if sweep is not None:
        wanted = _sweep_id(home, sweep)
        mine = [cluster for cluster in found.clusters if cluster.orphan.sweep_id == wanted]
        found = replace(found, clusters=mine, in_use=tuple(each for each in found.in_use if each.sweep_id == wanted))
    interrupted: list[str] = []
    if not dry_run:
        for cluster in found.clusters:
            remove(home.root, cluster, only)
        if home.root.is_dir():
            interrupted = home.ledger().interrupt_abandoned(
                lambda sweep: runs if (runs := running(home.root, sweep)) is not None else not force
            )
    return Cleaned(found, tuple(interrupted))


def _sweep_id(home: Home, wanted: str) -> str:
    """Return the id of a sweep of this home; a full id may also be one of another machine. Raises UnknownId."""
    if not wanted.strip():
        raise InputError("--sweep: the id is empty", "list sweeps: orchestrate list")
    try:
        return home.ledger().find(wanted)[0].sweep_id
    except UnknownId:
        # not logged: the sweep may be in the ledger of another machine.
        if _FULL_ID.fullmatch(wanted):
            return wanted
        raise
