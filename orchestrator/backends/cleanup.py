"""Find and remove clusters that killed runs left: what their backends started, and their folders under the home.

A folder is removed only if its own `owner.json` proves that orchestrate made it. Its place, name and age prove nothing.
"""

import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from orchestrator.backends import registry
from orchestrator.backends.base import BackendKind, Orphan
from orchestrator.backends.live.cluster_dir import ClusterFiles
from orchestrator.backends.live.ownership import (
    UNFINISHED,
    Owner,
    is_cluster_id,
    is_own_folder,
    is_unfinished,
    remove_cluster_folder,
)
from orchestrator.errors import MissingPrerequisite, OrchestrateError

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Abandoned:
    """A cluster whose orchestrator is gone: all its parts, and the backends that have any of them."""

    orphan: Orphan
    backends: tuple[str, ...]

    @property
    def cluster_id(self) -> str:
        """Return the id of the cluster."""
        return self.orphan.cluster_id

    def parts(self, kind: str) -> list[str]:
        """Return the names of the parts of one kind, such as `container`."""
        return list(self.orphan.parts.get(kind, ()))


@dataclass(frozen=True)
class Search:
    """The abandoned clusters of a home, and by backend the reason why some can't be found.

    `in_use` are clusters in a cloud that are left alone, because they have neither expired nor lost their owner.
    `foreign` are folders among those of clusters that nothing proves to be ours: they are never removed.
    """

    clusters: list[Abandoned]
    hidden: Mapping[str, OrchestrateError]
    in_use: tuple[Orphan, ...] = ()
    foreign: tuple[Path, ...] = ()

    def problem(self) -> MissingPrerequisite | None:
        """Return the error that tells why clusters of some backends can't be found; None if all are found."""
        if not self.hidden:
            return None
        reasons = "; ".join(f"{backend}: {error.message}" for backend, error in self.hidden.items())
        hint = next((error.hint for error in self.hidden.values() if error.hint), None)
        return MissingPrerequisite(f"what killed runs left of clusters can't be found. {reasons}", hint)


def find_abandoned(home: Path, *, force: bool = False, only: BackendKind | None = None) -> Search:
    """Return the clusters of `home` whose orchestrator is gone; with `force` also those whose orchestrator runs.

    `only` looks for those of one backend. Accounts in a cloud are looked at only if their backend is named so.
    """
    folders = _folders(home / "clusters")
    recorded = {folder.name: owner for folder in folders if (owner := _proven(folder)) is not None}
    foreign = tuple(
        folder for folder in folders if folder.name not in recorded and not UNFINISHED.fullmatch(folder.name)
    )
    unfinished = [folder for folder in folders if is_unfinished(folder)]
    if only is not None:
        recorded = {name: owner for name, owner in recorded.items() if owner.backend == only.name}
    found: dict[str, dict[str, Orphan]] = {}
    silent: dict[str, OrchestrateError] = {}
    for each in registry.all_backends() if only is None else (only,):
        if not isinstance(each, BackendKind):
            silent[each.name] = each.error
            continue
        if each.cloud is not None and only is None:
            silent[each.name] = MissingPrerequisite(
                "the account is looked at on request only", f"orchestrate clean --backend {each.name}"
            )
            continue
        try:
            for orphan in each.orphans(home):
                if is_cluster_id(orphan.cluster_id):
                    found.setdefault(orphan.cluster_id, {})[each.name] = orphan
                else:
                    _log.warning("the %s backend names a cluster that can't be ours: %r", each.name, orphan.cluster_id)
        except MissingPrerequisite as error:
            _log.info("clusters of the %s backend can't be found", each.name, exc_info=True)
            silent[each.name] = error
        except Exception as error:  # one package's fault must not keep the others from being cleaned
            _log.warning("clusters of the %s backend can't be found", each.name, exc_info=True)
            silent[each.name] = MissingPrerequisite(f"{type(error).__name__}: {error}")
    owners: dict[str, Owner | None] = {**recorded}
    for cluster_id in found:
        # Read again: a cluster that began after the folders were listed has its owner by now.
        owners.setdefault(cluster_id, _proven(home / "clusters" / cluster_id))
    for owner in owners.values():
        if owner is not None and owner.backend not in (*registry.names(), *silent):
            silent[owner.backend] = MissingPrerequisite("it isn't installed", "install its package again")
    clusters = [
        cluster
        for cluster_id, owner in sorted(owners.items())
        # The folder is all that tells of a cluster whose backend can't look: it stays.
        if not (owner is not None and owner.backend in silent)
        if (cluster := _abandoned(home, cluster_id, owner, found.get(cluster_id, {}), force=force)) is not None
    ]
    clusters += [Abandoned(Orphan(folder.name.split(".")[1], {"folder": (str(folder),)}), ()) for folder in unfinished]
    hidden = {name: error for name, error in silent.items() if only is not None or _missed(home, name, owners)}
    spared = found.keys() - {cluster.cluster_id for cluster in clusters}
    in_use = tuple(orphan for name in sorted(spared) for orphan in found[name].values() if orphan.owner)
    return Search(clusters, hidden, in_use, foreign)


def remove(home: Path, cluster: Abandoned, only: BackendKind | None = None) -> None:
    """Remove all parts of a cluster, then its folder; `only` is as for `find_abandoned`. Raises MissingPrerequisite."""
    for name in cluster.backends:
        kind = only if only is not None and only.name == name else registry.kind(name)
        kind.remove(home, cluster.cluster_id)
    for folder in map(Path, cluster.parts("folder")):
        # Looked at once more: another `clean` may have been first, and somebody may have put something else there.
        if folder.parent == home / "clusters" and (_proven(folder) is not None or is_unfinished(folder)):
            remove_cluster_folder(folder)


def _abandoned(
    home: Path, cluster_id: str, owner: Owner | None, orphans: Mapping[str, Orphan], *, force: bool
) -> Abandoned | None:
    """Return the cluster with everything that exists of it; None if it is in use, or only just being made."""
    folder = home / "clusters" / cluster_id
    in_use = [orphan.in_use for orphan in orphans.values() if orphan.in_use is not None]
    if (owner.owns(folder) if owner is not None else any(in_use)) and not force:
        return None
    parts: dict[str, tuple[str, ...]] = {}
    for orphan in orphans.values():
        for kind, names in orphan.parts.items():
            parts[kind] = (*parts.get(kind, ()), *names)
    # Folders come last, the cluster's own first.
    folders = (*((str(folder),) if owner is not None else ()), *parts.pop("folder", ()))
    backends = dict.fromkeys((*orphans, *([owner.backend] if owner is not None else ())))
    # A cluster that is in a cloud has one backend only.
    told = next((orphan for orphan in orphans.values() if orphan.details), Orphan(cluster_id, {}))
    return Abandoned(replace(told, parts={**parts, "folder": folders}), tuple(backends))


def _missed(home: Path, backend: str, recorded: Mapping[str, Owner | None]) -> bool:
    """Return true if it matters that a backend can't look: most machines have no Docker, and nothing in it."""
    foreign = backend not in {kind.name for kind in registry.BUILT_IN}
    owners = {name: owner for name, owner in recorded.items() if owner is not None and owner.backend == backend}
    return foreign or any(not owner.owns(home / "clusters" / name) for name, owner in owners.items())


def _proven(folder: Path) -> Owner | None:
    """Return the owner that a cluster's folder proves, by a file that only orchestrate writes; None without proof."""
    if not is_own_folder(folder):
        return None
    owner = Owner.read(ClusterFiles(folder).owner)
    return owner if owner is not None and owner.cluster_id == folder.name else None


def _folders(parent: Path) -> list[Path]:
    if not parent.is_dir():
        return []
    return [Path(entry.path) for entry in os.scandir(parent) if entry.is_dir()]
