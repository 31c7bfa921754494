"""The scrape jobs for a Prometheus elsewhere."""

import socket
from typing import Any

import pytest
import yaml

from orchestrator.lab.metrics import Access
from orchestrator.lab.scrape_config import scrape_config


def jobs(port: int | None, to: Access) -> dict[str, Any]:
    return {job["job_name"]: job for job in yaml.safe_load(scrape_config(port, to))["scrape_configs"]}


@pytest.mark.parametrize(
    ("host", "port", "address"),
    [
        ("10.0.0.5", None, "10.0.0.5:9477"),
        ("0.0.0.0", 9000, f"{socket.getfqdn()}:9000"),
        ("fd00::5", 9000, "[fd00::5]:9000"),
    ],
)
def test_both_jobs_go_to_where_metrics_are_served(host: str, port: int | None, address: str) -> None:
    found = jobs(port, Access(host))

    assert found["orchestrator"]["static_configs"] == [{"targets": [address]}]
    assert found["ray"]["http_sd_configs"][0]["url"] == f"http://{address}/sd"


def test_nothing_of_a_stack_in_containers_is_left() -> None:
    text = scrape_config(None, Access("10.0.0.5"))

    assert "host.docker.internal" not in text
    assert "authorization" not in text
    assert jobs(None, Access("10.0.0.5"))["ray"]["metric_relabel_configs"], "Ray's own node types stay"


def test_with_a_token_prometheus_reads_it_from_a_file() -> None:
    text = scrape_config(None, Access("10.0.0.5", "secret"))
    found = jobs(None, Access("10.0.0.5", "secret"))

    assert "secret" not in text
    for place in (found["orchestrator"], found["ray"]["http_sd_configs"][0]):
        assert place["authorization"] == {"credentials_file": "/etc/prometheus/orchestrate.token"}
