"""Questions about Prometheus and Grafana: their ports, their programs, and whether they run."""

import logging
import shutil
import subprocess
from collections.abc import Callable
from functools import partial
from pathlib import Path

from orchestrator.errors import MissingPrerequisite
from orchestrator.metrics.server import DEFAULT_PORT
from orchestrator.readiness import Finding, Question
from orchestrator.stack.compose import check_engine, run_docker
from orchestrator.stack.probes import Fetch, fetch, is_taken
from orchestrator.stack.services import Status
from orchestrator.stack.stack import Stack
from orchestrator.stack.state import Ports

_log = logging.getLogger(__name__)

_PROGRAM_TIMEOUT_S = 10.0


def service_questions(home: Path) -> list[Question]:
    """Return the questions about the stack of `home` and its prerequisites."""
    status = partial(_status, home)
    return [
        Question("Docker compose", ("stack",), compose),
        Question(f"port {DEFAULT_PORT}", ("sweep", "stack"), metrics_port),
        Question(f"port {Ports.prometheus}", ("stack",), partial(stack_port, "prometheus", Ports.prometheus, status)),
        Question(f"port {Ports.grafana}", ("stack",), partial(stack_port, "grafana", Ports.grafana, status)),
        Question("prometheus", ("stack",), partial(program, "prometheus")),
        Question("promtool", (), partial(program, "promtool")),
        Question("stack", ("stack",), partial(stack, status)),
    ]


def compose() -> Finding:
    """Return the version of Docker compose. The stack also needs a daemon that shares this machine's network."""
    check_engine(run_docker)
    return Finding("ok", f"docker compose {run_docker('compose', 'version', '--short').out.strip()}")


def metrics_port(*, taken: Callable[[int], bool] = is_taken, ask: Fetch = fetch) -> Finding:
    """Return whether sweeps can serve metrics at the default port."""
    if not taken(DEFAULT_PORT):
        return Finding("ok", "free, for the metrics of a sweep")
    if b"orchestrate" in ask(f"http://127.0.0.1:{DEFAULT_PORT}/", None)[1]:
        return Finding("ok", "an orchestrate that runs now serves its metrics there")
    return Finding(
        "warning",
        "taken by another program: sweeps run, but serve no metrics",
        f"see by which: ss -ltnp 'sport = :{DEFAULT_PORT}'; or choose another with --metrics-port",
    )


def stack_port(
    service: str, port: int, status: Callable[[], Status | None], *, taken: Callable[[int], bool] = is_taken
) -> Finding:
    """Return whether a service of the stack can use its default port."""
    if not taken(port):
        return Finding("ok", f"free, for {service.capitalize()}")
    found = status()
    if found is not None and found.url(service) == f"http://127.0.0.1:{port}":
        return Finding("ok", f"the stack's {service.capitalize()} listens there")
    return Finding(
        "warning",
        "taken by another program",
        f"see by which: ss -ltnp 'sport = :{port}'; or choose another: orchestrate stack up --{service}-port",
    )


def program(name: str) -> Finding:
    """Return a program's path and version."""
    path = shutil.which(name)
    if path is None:
        hint = "Debian: apt install prometheus; macOS: brew install prometheus; else https://prometheus.io/download/"
        use = "only stack up --native needs it" if name == "prometheus" else "only to test your own rules"
        return Finding("warning", f"not on PATH; {use}", hint)
    said = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=_PROGRAM_TIMEOUT_S)
    lines = (said.stdout or said.stderr).splitlines()
    return Finding("ok", f"{lines[0].partition(' (')[0]} at {path}" if lines else path)


def stack(status: Callable[[], Status | None]) -> Finding:
    """Return whether the stack runs."""
    found = status()
    if found is None or not found.running:
        return Finding("ok", "not up", "start it when you want to watch: orchestrate stack up")
    running = ", ".join(f"{each.name} {each.url} ({each.health or each.state})" for each in found.services if each.url)
    if found.healthy:
        return Finding("ok", running)
    return Finding("warning", running, "orchestrate stack status")


def _status(home: Path) -> Status | None:
    """Return the stack's status; None where there can be no stack."""
    try:
        return Stack(home).status()
    except MissingPrerequisite:
        _log.debug("no stack can run here", exc_info=True)
        return None
