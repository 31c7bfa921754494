"""A port is free, ours, or somebody else's."""

from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator.doctor.services import metrics_port, program, stack, stack_port
from orchestrator.stack.services import Service, Status

URL = "http://127.0.0.1:9090"


def status(url: str = URL, health: str = "healthy") -> Callable[[], Status]:
    service = Service("prometheus", "prom/prometheus", "running", health, url)
    return lambda: Status((service,), Path("password"))


def no_stack() -> None:
    return None


def test_a_free_port_is_ready() -> None:
    assert metrics_port(taken=lambda port: False, ask=lambda url, password: (0, b"")).state == "ok"
    assert stack_port("prometheus", 9090, no_stack, taken=lambda port: False).state == "ok"


def test_a_port_that_a_sweep_has_is_ours() -> None:
    found = metrics_port(taken=lambda port: True, ask=lambda url, password: (200, b"orchestrate: /metrics\n"))

    assert found.state == "ok"


def test_a_port_that_a_stranger_has_is_a_warning_with_the_way_out() -> None:
    found = metrics_port(taken=lambda port: True, ask=lambda url, password: (200, b"<html>"))

    assert found.state == "warning"
    assert "--metrics-port" in found.hint


def test_the_stacks_own_port_is_ours_and_another_prometheus_is_not() -> None:
    def taken(port: int) -> bool:
        return True

    assert stack_port("prometheus", 9090, status(), taken=taken).state == "ok"
    for found in (
        stack_port("prometheus", 9090, status("http://127.0.0.1:9091"), taken=taken),
        stack_port("prometheus", 9090, no_stack, taken=taken),
    ):
        assert found.state == "warning"
        assert "--prometheus-port" in found.hint


def test_the_stack_is_up_ill_or_not_up() -> None:
    assert stack(no_stack).hint == "start it when you want to watch: orchestrate stack up"
    assert stack(status()).detail == f"prometheus {URL} (healthy)"
    assert stack(status(health="unhealthy")).state == "warning"


def test_a_program_is_found_with_its_version(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    assert program("prometheus").state == "warning"
    assert "--native" in program("prometheus").detail

    script = tmp_path / "prometheus"
    script.write_text("#!/bin/sh\necho 'prometheus, version 3.5.0 (branch: HEAD)'\n")
    script.chmod(0o755)

    assert program("prometheus").detail == f"prometheus, version 3.5.0 at {script}"
