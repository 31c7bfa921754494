"""The whole stack: `up` returns when the dashboards can be opened, `down` keeps the volumes by default."""

import json
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from orchestrator.assets import bundled
from orchestrator.errors import InputError, MissingPrerequisite, OrchestrateError
from orchestrator.stack import diagnosis
from orchestrator.stack.compose import Docker, Line, Result, check_engine, is_desktop, missing_images, run_docker
from orchestrator.stack.native_prometheus import Native
from orchestrator.stack.probes import (
    Fetch,
    WrongPassword,
    answers,
    dashboard_uids,
    fetch,
    is_taken,
    last_words,
    missing_dashboards,
)
from orchestrator.stack.services import Progress, Service, Status
from orchestrator.stack.state import Files, Ports, digest

_log = logging.getLogger(__name__)

PROJECT = "orchestrate"
SERVICES = ("prometheus", "grafana")

# The label in docker-compose.yml with a service's URL, whichever home started it.
_URL = "dev.orchestrate.url"

# This keeps all metrics, and the dashboards, which come from files.
_FORGET_GRAFANA = (
    "forget what was changed in Grafana:"
    f" orchestrate stack down && docker volume rm {PROJECT}_grafana-data && orchestrate stack up"
)

_POLL_S = 0.5
# A panic of Prometheus is longer than 20 lines, and its reason comes first.
_LOG_LINES = "60"


class Stack:
    """The stack of one home. Docker, HTTP, ports and the clock are passed in; the defaults are the real ones."""

    def __init__(
        self,
        home: Path,
        *,
        docker: Docker = run_docker,
        ask: Fetch = fetch,
        taken: Callable[[int], bool] = is_taken,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        compose_file: Path | None = None,
    ) -> None:
        self.native = Native(home, ask=ask, taken=taken, clock=clock, sleep=sleep)
        self._files = Files(home / "stack")
        self._docker = docker
        self._ask = ask
        self._taken = taken
        self._clock = clock
        self._sleep = sleep
        self._compose_file = compose_file or bundled("docker-compose.yml")

    @property
    def known(self) -> bool:
        """True if a stack was ever started from this home."""
        return self.native.known or self._files.started

    def up(
        self,
        ports: Ports,
        *,
        anonymous: bool = False,
        timeout_s: float = 180.0,
        progress: Progress = lambda step, detail: None,
    ) -> Status:
        """Start missing services, apply changes, and wait until all is healthy and the dashboards exist.

        `timeout_s` limits the wait, not the pull of images. If the stack didn't run before and doesn't become ready, it
        is removed again without its volumes. Raises MissingPrerequisite, InputError and OrchestrateError.
        """
        if (native := self.native.url) is not None:
            raise InputError(
                f"this home's Prometheus runs without Docker: {native}", "end it first: orchestrate stack down"
            )
        progress("looking for Docker", "")
        check_engine(self._docker)
        ran_before = self._status()
        self._check_ports(ports, ran_before)
        root = self._compose_file.parent
        configs = {
            "prometheus": digest(root / "prometheus"),
            # Grafana detects changed dashboards by itself.
            "grafana": digest(root / "grafana" / "provisioning", watched=[root / "grafana" / "dashboards"]),
        }
        prometheus = (root / "prometheus" / "prometheus.yml").read_text()
        self._files.write(ports, anonymous=anonymous, configs=configs, prometheus=prometheus)
        try:
            progress("starting Prometheus and Grafana", "")
            started = self._compose(
                "up", "--detach", follow=lambda line: progress("starting Prometheus and Grafana", line)
            )
            if started.code != 0:
                raise self._not_started(started)
            return self._wait(ports, timeout_s, progress)
        except BaseException:
            if not ran_before.running:
                self._compose("down")
            raise

    def ensure(self, *, progress: Progress = lambda step, detail: None) -> Status:
        """Use a stack that runs and is healthy, with or without Docker; else call `up` with its current ports."""
        found = self.status()
        native = next((service for service in found.services if service.native), None)
        if native is not None and native.state == "running":
            if native.health != "healthy":
                self.native.up(_port_of(native.url), progress=progress)
            return self.status()
        if found.healthy:
            return found
        ports = {
            service.name: _port_of(service.url) for service in found.services if service.url and not service.native
        }
        return self.up(Ports(**ports), anonymous=self._files.anonymous, progress=progress)

    def down(self, *, volumes: bool = False) -> bool:
        """Stop all services, and with `volumes` remove their data. Returns whether there were any.

        Raises MissingPrerequisite, and OrchestrateError if something remains.
        """
        in_docker = self._in_docker()
        found = self.native.down(volumes=volumes)
        if not in_docker:
            return found
        found = found or any(service.state != "missing" for service in self._status().services)
        done = self._compose("down", *(["--volumes"] if volumes else []))
        if done.code != 0:
            raise OrchestrateError(f"docker compose down failed: {done.last_line}")
        if volumes:
            self._files.remove()
        return found

    def status(self) -> Status:
        """Return the states of the services. Raises MissingPrerequisite."""
        services = self._status().services if self._in_docker() else ()
        if self.native.known:
            native = self.native.service()
            present = services if any(service.state != "missing" for service in services) else ()
            if native.state == "running":
                services = (native, *present)
            elif not present and (native.state == "exited" or not services):
                services = (native,)
        return Status(services, self._files.password)

    def _in_docker(self) -> bool:
        """Return whether there may be containers. A home with a native Prometheus doesn't need Docker."""
        try:
            check_engine(self._docker)
        except MissingPrerequisite:
            _log.debug("no Docker", exc_info=True)
            if not self.native.known:
                raise
            return False
        return True

    def _compose(self, *arguments: str, stdin: str | None = None, follow: Line | None = None) -> Result:
        where = ["--project-name", PROJECT, "--file", str(self._compose_file)]
        if self._files.started:
            where += ["--env-file", str(self._files.env)]
        return self._docker("compose", *where, *arguments, stdin=stdin, follow=follow)

    def _status(self) -> Status:
        listed = self._compose("ps", "--all", "--format", "json")
        if listed.code != 0:
            raise OrchestrateError(f"docker compose ps failed: {listed.last_line}")
        rows = {str(row.get("Service")): row for row in _rows(listed.out)}
        return Status(tuple(_service(name, rows.get(name)) for name in SERVICES), self._files.password)

    def _check_ports(self, ports: Ports, before: Status) -> None:
        own = {service.url for service in before.services if service.state == "running"}
        for name, url in _urls(ports).items():
            port = getattr(ports, name)
            if url not in own and self._taken(port):
                raise MissingPrerequisite(
                    f"port {port} of 127.0.0.1 is taken, and {name.capitalize()} needs it",
                    f"end what listens there (ss -ltnp 'sport = :{port}'), or choose another first:"
                    f" orchestrate stack up --{name}-port PORT",
                )

    def _not_started(self, result: Result) -> OrchestrateError:
        services = self._document()["services"]
        if missing := missing_images(self._docker, [services[name]["image"] for name in SERVICES]):
            return MissingPrerequisite(
                f"the image {' and '.join(missing)} isn't here and can't be pulled: {result.last_line}",
                f"once this machine reaches the registry: docker pull {missing[0]}",
            )
        return OrchestrateError(f"docker compose up failed: {result.last_line}")

    def _wait(self, ports: Ports, timeout_s: float, progress: Progress) -> Status:
        password = self._files.read_password()
        wanted = dashboard_uids(self._compose_file.parent / "grafana" / "dashboards")
        urls = _urls(ports)
        deadline = self._clock() + timeout_s
        password_set = False
        while True:
            status = self._status()
            for service in status.services:
                if service.state in ("exited", "dead"):
                    raise self._ended(service.name)
            try:
                if (waiting := self._waiting_for(status, urls, password, wanted)) is None:
                    return status
            except WrongPassword:
                _log.debug("Grafana refuses the password")
                if password_set:
                    raise OrchestrateError("Grafana refuses the password that it was given", _FORGET_GRAFANA) from None
                waiting, password_set = ("grafana", "Grafana to take the password over"), True
                self._set_password(password)
            progress("waiting until all is ready", waiting[1])
            if self._clock() >= deadline:
                raise self._timed_out(*waiting, timeout_s)
            self._sleep(_POLL_S)

    def _waiting_for(
        self, status: Status, urls: dict[str, str], password: str, wanted: set[str]
    ) -> tuple[str, str] | None:
        """Return the service that isn't ready and a description, or None if all are. Raises WrongPassword."""
        if not answers(self._ask, f"{urls['prometheus']}/-/ready"):
            return "prometheus", "Prometheus"
        if not answers(self._ask, f"{urls['grafana']}/api/health"):
            return "grafana", "Grafana"
        # Query this even if no dashboard is wanted: it verifies the password.
        if missing := missing_dashboards(self._ask, urls["grafana"], password, wanted):
            return "grafana", f"{len(missing)} of {len(wanted)} dashboards"
        for service in status.services:
            if service.health != "healthy":
                return service.name, f"the health check of {service.name}"
        return None

    def _set_password(self, password: str) -> None:
        """Set Grafana's password, which Grafana reads from the file only when it creates its database.

        The password is passed on stdin, so that no process list shows it.
        """
        told = self._compose(
            *("exec", "--no-TTY", "grafana", "grafana", "cli", "admin", "reset-admin-password"),
            "--password-from-stdin",
            stdin=password,
        )
        if told.code != 0:
            raise OrchestrateError(
                f"Grafana's database has another password than {self._files.password}, and can't be changed: "
                f"{told.last_line}",
                f"write that password into the file if you know it; else {_FORGET_GRAFANA}",
            )

    def _timed_out(self, service: str, waiting: str, timeout_s: float) -> OrchestrateError:
        message = f"the stack wasn't ready after {timeout_s:g} s: still waiting for {waiting}"
        if is_desktop(self._docker):
            return MissingPrerequisite(
                message,
                "Docker Desktop: turn on Settings > Resources > Network > Enable host networking (4.34 or newer)",
            )
        said = last_words(self._log(service))
        return OrchestrateError(f"{message}; {service} said: {said}", "give it longer with --timeout")

    def _ended(self, service: str) -> OrchestrateError:
        root = self._compose_file.parent
        return diagnosis.ended(service, self._log(service), self._document(), root=root, project=PROJECT)

    def _log(self, service: str) -> str:
        logs = self._compose("logs", "--no-color", "--no-log-prefix", "--tail", _LOG_LINES, service)
        return logs.out + logs.err

    def _document(self) -> Any:
        import yaml

        return yaml.safe_load(self._compose_file.read_text())


def _port_of(url: str) -> int:
    return int(url.rpartition(":")[2])


def _urls(ports: Ports) -> dict[str, str]:
    return {name: f"http://127.0.0.1:{getattr(ports, name)}" for name in SERVICES}


def _rows(text: str) -> list[dict[str, Any]]:
    """Parse one JSON document per line; before compose 2.21, all in one list."""
    rows: list[dict[str, Any]] = []
    for line in text.splitlines():
        if line.strip():
            document = json.loads(line)
            rows += document if isinstance(document, list) else [document]
    return rows


def _service(name: str, row: dict[str, Any] | None) -> Service:
    if row is None:
        return Service(name, "", "missing", "", "")
    labels = dict(label.partition("=")[::2] for label in str(row.get("Labels", "")).split(","))
    return Service(name, str(row.get("Image", "")), str(row["State"]), str(row.get("Health", "")), labels.get(_URL, ""))
