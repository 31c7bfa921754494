"""Frozen domain values without I/O."""
