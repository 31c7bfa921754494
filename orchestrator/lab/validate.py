"""Replays recorded trials in the simulator."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from orchestrator.errors import InputError
from orchestrator.lab.home import Home
from orchestrator.lab.progress import Reporter

if TYPE_CHECKING:
    from orchestrator.replay.replay import Validation


def replay_recordings(home: Home, sources: Sequence[str], reporter: Reporter) -> "list[Validation]":
    """Return each recorded trial of the sources (ids or files) with its replay. Raises InputError."""
    from orchestrator.rayapi.version import require_supported_ray
    from orchestrator.replay.replay import validate
    from orchestrator.trace.file import read_trace

    require_supported_ray()
    recorded = [home.recordings(source) for source in sources]
    paths = [(path, tuple(assumptions)) for traces, assumptions in recorded for path in traces]
    if not paths:
        raise InputError("nothing was recorded there yet", "list all sweeps: orchestrate list")
    found = []
    with reporter.working("") as update:
        for number, (path, assumptions) in enumerate(paths, start=1):
            update(f"replaying trial {number} of {len(paths)}…")
            try:
                found.append(replace(validate(read_trace(path)), assumptions=assumptions))
            except InputError as error:
                raise InputError(f"{path}: {error.message}", error.hint) from None
    return found
