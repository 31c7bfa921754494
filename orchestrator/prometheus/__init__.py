"""Clients of a Prometheus server: queries, remote write, and the backfill of recorded trials."""
