"""A laboratory for the Ray autoscaler: parameter sweeps on real clusters, with results one can trust.

`orchestrator.simulate(upscaling_speed=[1, 10])` and `orchestrator.sweep(...)` run sweeps, `orchestrator.search("cost")`
finds the best settings, and `orchestrator.load("@last")` gives the newest sweep: its trials, traces and tables.
`orchestrator.events` has the events of a trace and `orchestrator.score` the scorecard that they give.
"""

import logging
from importlib import import_module
from typing import TYPE_CHECKING, Any

from orchestrator.version import __version__

if TYPE_CHECKING:
    from orchestrator import events as events
    from orchestrator import score as score
    from orchestrator.api import SearchResult, Sweep, Trial, load, search, simulate, sweep

# A library logs nothing by itself: see `orchestrator.logs`.
logging.getLogger(__name__).addHandler(logging.NullHandler())

__all__ = [
    "SearchResult",
    "Sweep",
    "Trial",
    "__version__",
    "events",
    "load",
    "score",
    "search",
    "simulate",
    "sweep",
]

_MODULES = ("events", "score")


def __getattr__(name: str) -> Any:
    """Load the Python API when it is used: it needs SQLAlchemy, and help texts must be instant."""
    if name in _MODULES:
        return import_module(f"orchestrator.{name}")
    if name in __all__:
        return getattr(import_module("orchestrator.api"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
