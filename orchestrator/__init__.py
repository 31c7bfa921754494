"""A laboratory for the Ray autoscaler: parameter sweeps on real clusters, with results one can trust.

In Python, `orchestrator.load("@last")` gives the newest sweep: its trials, traces and tables.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from orchestrator.version import __version__

if TYPE_CHECKING:
    from orchestrator.api import Sweep, Trial, load

__all__ = ["Sweep", "Trial", "__version__", "load"]


def __getattr__(name: str) -> Any:
    """The Python API is loaded when it is used: it needs SQLAlchemy, and the commands' help shall be instant."""
    if name in ("Sweep", "Trial", "load"):
        return getattr(import_module("orchestrator.api"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
