"""The stack of Prometheus and Grafana: start it, wait until it is ready, stop it."""
