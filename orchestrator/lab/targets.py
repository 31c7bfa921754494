"""The Ray cluster of a command: the named one, else the running local one, else `RAY_ADDRESS`."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.errors import InputError, MissingPrerequisite
from orchestrator.lab.home import Home
from orchestrator.rayapi.environment import authenticate

if TYPE_CHECKING:
    from orchestrator.model.cluster import ClusterShape
    from orchestrator.model.snapshot import Snapshot
    from orchestrator.rayapi.gcs import GcsView


def find_address(common: Home, address: str | None) -> str:
    """`host:port` of a GCS. For a cluster of this home its token is put in place. Raises MissingPrerequisite."""
    from orchestrator.backends.live.ownership import ensure_token, running_owners

    common.check()
    ours = {owner.gcs_address for owner in running_owners(common.root)}
    if address is not None:
        _check_form(address)
    found = address or next(iter(sorted(ours)), None) or os.environ.get("RAY_ADDRESS", "")
    if not found:
        raise MissingPrerequisite("no Ray cluster runs here", "start a sweep, or name one with --address HOST:PORT")
    if found in ours:
        authenticate(ensure_token(common.root))
    return found


def open_view(address: str) -> "tuple[GcsView, Snapshot]":
    """Return a view of the cluster and a first look at it. Raises MissingPrerequisite if none answers."""
    from orchestrator.rayapi.gcs import GcsView

    try:
        view = GcsView(address)
        return view, view.poll()
    except ConnectionError as error:
        raise MissingPrerequisite(f"no Ray cluster answers at {address}: {error}") from None


def _check_form(address: str) -> None:
    host, colon, port = address.rpartition(":")
    if not (host and colon and port.isdigit() and 0 < int(port) < 65536):
        raise InputError(f"--address: {address!r} isn't HOST:PORT", "for example --address 127.0.0.1:6379")


def shape_of_file(cluster: Path | None) -> "ClusterShape | None":
    """Return the shape of a cluster config, if one is given: else nodes themselves have to say what they are."""
    from orchestrator.inputs.cluster_config import read_cluster_file

    return read_cluster_file(cluster).shape if cluster is not None else None
