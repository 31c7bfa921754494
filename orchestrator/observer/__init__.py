"""Observation of a Ray cluster: polls become the events of a trace."""
