"""Recorded trials replayed in the simulator, and planned ones predicted by it."""
