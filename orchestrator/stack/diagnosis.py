"""Diagnosis of a service of the stack that ended, from its log and the compose file, with a hint."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from orchestrator.errors import OrchestrateError
from orchestrator.stack.probes import last_words

_DENIED = ("permission denied", "not writable")


def ended(name: str, log: str, compose: Mapping[str, Any], *, root: Path, project: str) -> OrchestrateError:
    """Return the error for a service that ended by itself; `root` is the folder of the compose file.

    If permission is denied, the path belongs either to the service's volume or to a mounted folder.
    """
    denied = [line for line in log.splitlines() if any(sign in line.lower() for sign in _DENIED)]
    said = last_words("\n".join(denied) or log)
    hint = _way_in(said, compose["services"][name], root, project) if denied else None
    return OrchestrateError(f"{name} ended at once: {said}", hint)


def _way_in(said: str, service: Mapping[str, Any], root: Path, project: str) -> str:
    for volume, target in (mount.split(":") for mount in service["volumes"] if isinstance(mount, str)):
        if target in said and f"/etc{target}" not in said:
            return (
                f"its volume belongs to another user; give it to its own: docker run --rm --user 0 --volume"
                f" {project}_{volume}:{target} --entrypoint chown {service['image']} -R {service['user']} {target}"
            )
    return f"its user may not read what it mounts: chmod -R go+rX {root / 'prometheus'} {root / 'grafana'}"
