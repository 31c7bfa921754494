"""Dashboards as code: each board a module, built into `grafana/dashboards/` by `orchestrate dashboards build`."""
