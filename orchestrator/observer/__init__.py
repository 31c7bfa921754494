"""Watches a Ray cluster and turns what it sees into the events of a trace."""
