"""What docker-compose.yml promises: pinned, on loopback only, hardened, bounded, without a secret; its mounts exist."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from orchestrator.stack.stack import SERVICES

ROOT = Path(__file__).parents[3]
TEXT = (ROOT / "docker-compose.yml").read_text()
COMPOSE = yaml.safe_load(TEXT)


@pytest.fixture(params=SERVICES)
def service(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Each service."""
    found: dict[str, Any] = COMPOSE["services"][request.param]
    return found


def test_the_services_are_those_that_the_code_waits_for() -> None:
    assert set(COMPOSE["services"]) == set(SERVICES)


def test_each_image_is_pinned_to_a_release(service: dict[str, Any]) -> None:
    assert re.fullmatch(r"[\w/]+:v?\d+\.\d+\.\d+", service["image"])


def test_nothing_is_published_and_each_listens_on_loopback_of_the_host() -> None:
    prometheus, grafana = (COMPOSE["services"][name] for name in ("prometheus", "grafana"))
    listen = [flag for flag in prometheus["command"] if "listen-address" in flag]

    assert [service.get("ports") for service in (prometheus, grafana)] == [None, None]
    assert [service["network_mode"] for service in (prometheus, grafana)] == ["host", "host"]
    assert [flag.partition("=")[2].partition(":")[0] for flag in listen] == ["127.0.0.1"]
    assert grafana["environment"]["GF_SERVER_HTTP_ADDR"] == "127.0.0.1"


def test_each_is_confined_and_bounded(service: dict[str, Any]) -> None:
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert set(service["deploy"]["resources"]["limits"]) == {"cpus", "memory", "pids"}
    assert service["logging"]["options"]["max-size"]
    assert not service["user"].startswith("0")


def test_the_volumes_of_the_machine_have_the_same_owner_whoever_calls() -> None:
    assert {name: service["user"] for name, service in COMPOSE["services"].items()} == {
        "prometheus": "65534:65534",
        "grafana": "472:0",
    }


def test_each_has_a_health_check_with_a_program_of_its_image_that_asks_no_proxy(service: dict[str, Any]) -> None:
    assert service["healthcheck"]["test"][:4] == ["CMD", "wget", "-Y", "off"]
    assert "http://127.0.0.1:" in service["healthcheck"]["test"][-1]


def test_each_mount_is_read_only_and_stands_beside_the_file(service: dict[str, Any]) -> None:
    for mount in service["volumes"]:
        if isinstance(mount, dict):
            assert mount["read_only"] is True
            assert mount["bind"] == {"create_host_path": False}
            beside = re.sub(r"^\$\{\w+:-(.+)\}$", r"\1", mount["source"])
            assert (ROOT / beside).exists(), mount["source"]


def test_what_is_stored_has_a_name_and_metrics_have_a_limit() -> None:
    flags = " ".join(COMPOSE["services"]["prometheus"]["command"])

    assert set(COMPOSE["volumes"]) == {"prometheus-data", "grafana-data"}
    assert "--storage.tsdb.retention.time=" in flags
    assert "--storage.tsdb.retention.size=" in flags
    assert "--web.enable-remote-write-receiver" in flags


def test_the_password_comes_from_a_file_and_anonymous_viewing_from_a_choice() -> None:
    environment = COMPOSE["services"]["grafana"]["environment"]

    assert [name for name in environment if "PASSWORD" in name] == ["GF_SECURITY_ADMIN_PASSWORD__FILE"]
    assert environment["GF_AUTH_ANONYMOUS_ENABLED"].endswith(":-false}")
    assert environment["GF_AUTH_ANONYMOUS_ORG_ROLE"] == "Viewer"
    assert COMPOSE["secrets"] == {
        "grafana-admin-password": {"file": COMPOSE["secrets"]["grafana-admin-password"]["file"]}
    }


def test_grafana_calls_nobody() -> None:
    environment = COMPOSE["services"]["grafana"]["environment"]

    assert {environment[name] for name in environment if name.startswith("GF_ANALYTICS_")} == {"false"}
    assert environment["GF_PLUGINS_PREINSTALL_DISABLED"] == "true"


def test_each_variable_has_a_default_so_that_the_file_is_clean_by_itself() -> None:
    variables = re.findall(r"\$\{(\w+)(:-)?", TEXT)

    assert variables
    assert [name for name, default in variables if not default] == []
    assert {name.startswith("ORCHESTRATE_STACK_") for name, _ in variables} == {True}


def test_what_is_provisioned_is_what_the_compose_file_mounts_and_sets() -> None:
    grafana = COMPOSE["services"]["grafana"]
    sources = yaml.safe_load((ROOT / "grafana/provisioning/datasources/prometheus.yml").read_text())["datasources"]
    providers = yaml.safe_load((ROOT / "grafana/provisioning/dashboards/orchestrate.yml").read_text())["providers"]
    mounted = {mount["source"]: mount["target"] for mount in grafana["volumes"] if isinstance(mount, dict)}

    assert [source["uid"] for source in sources] == ["orchestrate-prometheus"]
    assert sources[0]["url"].lstrip("$") in grafana["environment"]
    assert [provider["folder"] for provider in providers] == ["Orchestrate"]
    assert providers[0]["options"]["path"] == mounted["./grafana/dashboards"]
    assert providers[0]["allowUiUpdates"] is False


def test_each_alert_rule_is_evaluated_once() -> None:
    """By Prometheus, which Grafana asks for them: none is provisioned for Grafana."""
    sources = yaml.safe_load((ROOT / "grafana/provisioning/datasources/prometheus.yml").read_text())["datasources"]

    assert sources[0]["jsonData"]["manageAlerts"] is True
    assert not (ROOT / "grafana/provisioning/alerting").exists()


def test_the_data_source_knows_how_often_prometheus_scrapes() -> None:
    sources = yaml.safe_load((ROOT / "grafana/provisioning/datasources/prometheus.yml").read_text())["datasources"]
    scrapes = yaml.safe_load((ROOT / "prometheus/prometheus.yml").read_text())["global"]["scrape_interval"]

    assert sources[0]["jsonData"]["timeInterval"] == scrapes


def test_the_wheel_holds_all_of_it() -> None:
    import tomllib

    wheel = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    included = wheel["force-include"]

    for name in ("docker-compose.yml", "grafana", "prometheus"):
        assert included[name] == f"orchestrator/bundle/{name}"
