"""The end of an observation: what it recorded."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from orchestrator.model.settings import Settings
from orchestrator.observer.task_follower import Followed


@dataclass(frozen=True)
class Observed:
    """The end of an observation: its id in the ledger, its trace, its length in seconds, and what it recorded.

    `not_scored` says why there is no scorecard. `settings` are those that could be read; `full`: the trace has reached
    its limit.
    """

    sweep_id: str
    address: str
    trace: Path
    seconds: float
    followed: Followed
    nodes: int
    settings: Settings
    full: bool
    not_scored: str = ""
    assumptions: Sequence[str] = ()
