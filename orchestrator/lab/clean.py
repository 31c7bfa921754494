"""Removes what killed runs left behind."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from orchestrator.lab.home import Home

if TYPE_CHECKING:
    from orchestrator.backends.cleanup import Search


@dataclass(frozen=True)
class Cleaned:
    """The clusters that were left behind, and the ids of sweeps that are now marked as interrupted."""

    found: "Search"
    interrupted: tuple[str, ...]


def clean_home(home: Home, *, dry_run: bool, force: bool) -> Cleaned:
    """Remove leftovers of this home; with `dry_run`, only find them.

    `force` includes clusters of running sweeps, and takes sweeps of machines that can't be looked at for ended.
    """
    from orchestrator.backends.cleanup import find_abandoned, remove
    from orchestrator.sweeps.runner import running

    home.check()
    found = find_abandoned(home.root, force=force)
    interrupted: list[str] = []
    if not dry_run:
        for cluster in found.clusters:
            remove(home.root, cluster)
        if home.root.is_dir():
            interrupted = home.ledger().interrupt_abandoned(
                lambda sweep: runs if (runs := running(home.root, sweep)) is not None else not force
            )
    return Cleaned(found, tuple(interrupted))
