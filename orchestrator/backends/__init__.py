"""Backends turn a trial into a trace: see `base.Backend`."""
