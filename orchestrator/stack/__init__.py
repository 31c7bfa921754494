"""The docker-compose stack beside the lab: Prometheus and Grafana, up, down and waited for until they are ready."""
