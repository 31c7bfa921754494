"""Dashboards as code, their push into Grafana, alert rules and annotations."""
