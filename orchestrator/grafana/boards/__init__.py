"""Dashboards as code: one module for each board, and the parts that they share."""
