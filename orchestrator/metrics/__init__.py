"""Metrics of trials: the catalogue, the collector, the exporter and its HTTP server."""
