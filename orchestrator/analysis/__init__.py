"""Pure functions of traces: the same trace gives the same numbers, on any machine, at any time."""
