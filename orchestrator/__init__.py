"""A laboratory for the Ray autoscaler: parameter sweeps on real clusters, with results one can trust."""

__version__ = "0.1.0"
