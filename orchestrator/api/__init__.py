"""The Python API: run sweeps and searches, and load their results."""

from orchestrator.api.results import Sweep, Trial, load
from orchestrator.api.runs import search, simulate, sweep
from orchestrator.api.search_result import SearchResult

__all__ = ["SearchResult", "Sweep", "Trial", "load", "search", "simulate", "sweep"]
