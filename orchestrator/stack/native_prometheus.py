"""Prometheus without Docker: the program on PATH, as a background process in its own session."""

import hashlib
import json
import logging
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import psutil

from orchestrator.assets import bundled
from orchestrator.errors import InputError, MissingPrerequisite, OrchestrateError
from orchestrator.inputs.secrets import inherited
from orchestrator.logs import suppressed
from orchestrator.stack.probes import Fetch, answers, fetch, is_taken, last_words
from orchestrator.stack.process import STORAGE, Running
from orchestrator.stack.services import Progress, Service
from orchestrator.stack.state import on_port

_log = logging.getLogger(__name__)

_KILL_AFTER_S = 10.0
_POLL_S = 0.2
# While no sweep runs, Prometheus logs an error every 5 s. Above this size the next command empties the log.
_MAX_LOG_BYTES = 10_000_000


class Native:
    """The native Prometheus of one home. HTTP, ports and the clock are passed in; the defaults are the real ones."""

    def __init__(
        self,
        home: Path,
        *,
        ask: Fetch = fetch,
        taken: Callable[[int], bool] = is_taken,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        kill_after_s: float = _KILL_AFTER_S,
    ) -> None:
        self.folder = home / "stack" / "native"
        self._record_file = self.folder / "process.json"
        self._ask = ask
        self._taken = taken
        self._clock = clock
        self._sleep = sleep
        self._kill_after_s = kill_after_s

    @property
    def known(self) -> bool:
        """True if it runs, or ran and left its data."""
        return self.folder.is_dir()

    @property
    def url(self) -> str | None:
        """Its URL while it runs, else None."""
        found = self._running()
        return found.url if found is not None and found.alive else None

    @property
    def log(self) -> Path:
        """The log since its start, or since the log was emptied."""
        return self.folder / "log"

    def _running(self) -> Running | None:
        """Return the process that was started last, even if `up` was killed before it recorded the process."""
        record = Running.read(self._record_file)
        if (record is not None and record.alive) or not self.known:
            return record
        return Running.storing_into(self.folder / "data") or record

    def service(self) -> Service:
        """Return its current state."""
        self._shorten_log()
        record = self._running()
        if record is None:
            return Service("prometheus", "", "missing", "", "", native=True)
        state, health = "exited", ""
        if record.alive:
            state, health = "running", "healthy" if answers(self._ask, f"{record.url}/-/ready") else "starting"
        return Service("prometheus", record.command[0], state, health, record.url, native=True)

    def up(
        self, port: int, *, timeout_s: float = 180.0, progress: Progress = lambda step, detail: None
    ) -> tuple[Service, bool]:
        """Start it unless it runs with these settings, wait until it is ready, and return whether it was started now.

        A process with other settings is replaced. Raises MissingPrerequisite, InputError and OrchestrateError.
        """
        command = [_program(), *flags(port, self.folder)]
        files = {"prometheus.yml": configuration(port), **rules()}
        settings = _digest(command, files)
        record = self._running()
        runs = record is not None and record.alive
        fresh = not (runs and record is not None and record.settings == settings)
        if fresh:
            own = runs and record is not None and record.port == port
            if not own and self._taken(port):
                raise MissingPrerequisite(
                    f"port {port} of 127.0.0.1 is taken, and Prometheus needs it",
                    f"end what listens there (ss -ltnp 'sport = :{port}'; Debian's own service: systemctl stop"
                    " prometheus; ours in Docker: orchestrate stack down), or choose another first:"
                    " orchestrate stack up --native --prometheus-port PORT",
                )
            progress("starting Prometheus", "")
            if record is not None:
                record.end(self._kill_after_s)
            self._write(files)
            record = self._start(command, port, settings)
        assert record is not None
        try:
            self._wait(record, timeout_s, progress)
        except BaseException:
            if fresh:
                self._end(record)
            raise
        return self.service(), fresh

    def down(self, *, volumes: bool = False) -> bool:
        """Stop it, and with `volumes` remove its data. Returns whether it ran."""
        record = self._running()
        ended = record is not None and self._end(record)
        if volumes and self.known:
            shutil.rmtree(self.folder)
            with suppressed(_log, f"removing {self.folder.parent}", OSError):
                self.folder.parent.rmdir()
        return ended

    def _end(self, record: Running) -> bool:
        ended = record.end(self._kill_after_s)
        self._record_file.unlink(missing_ok=True)
        return ended

    def _write(self, files: Mapping[str, str]) -> None:
        try:
            for folder in (self.folder.parent.parent, self.folder.parent, self.folder):
                folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            shutil.rmtree(self.folder / "rules", ignore_errors=True)
            (self.folder / "rules").mkdir()
            for name, text in files.items():
                (self.folder / name).write_text(text)
        except OSError as error:
            raise InputError(
                f"{self.folder} can't be written: {error.strerror}", "choose another home with --home"
            ) from None

    def _start(self, command: Sequence[str], port: int, settings: str) -> Running:
        self.log.unlink(missing_ok=True)
        with self.log.open("a") as log:  # in append mode, output continues at the start after the file is emptied
            try:
                process = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    cwd=self.folder,
                    env=inherited(),
                    start_new_session=True,
                )
            except OSError as error:
                raise MissingPrerequisite(f"{command[0]} can't be run: {error.strerror}") from None
        try:
            started = psutil.Process(process.pid).create_time()
            record = Running(process.pid, started, port, tuple(command), settings)
            record.write(self._record_file)
        except BaseException:
            process.kill()
            process.wait()
            raise
        process.returncode = 0  # The process outlives this object; this avoids Python's warning.
        return record

    def _wait(self, record: Running, timeout_s: float, progress: Progress) -> None:
        deadline = self._clock() + timeout_s
        while True:
            if not record.alive:
                raise OrchestrateError(
                    f"Prometheus ended at once: {last_words(self._said())}",
                    f"2.42 or newer is needed; all that it said is in {self.log}",
                )
            if answers(self._ask, f"{record.url}/-/ready"):
                return
            progress("waiting until all is ready", "Prometheus")
            if self._clock() >= deadline:
                raise OrchestrateError(
                    f"Prometheus wasn't ready after {timeout_s:g} s; it said: {last_words(self._said())}",
                    "give it longer with --timeout",
                )
            self._sleep(_POLL_S)

    def _shorten_log(self) -> None:
        with suppressed(_log, f"truncating {self.log}", OSError):
            if self.log.stat().st_size > _MAX_LOG_BYTES:
                os.truncate(self.log, 0)

    def _said(self) -> str:
        return self.log.read_text(errors="replace") if self.log.is_file() else ""


def flags(port: int, folder: Path) -> list[str]:
    """Return the flags of docker-compose.yml, with this port and the files of this folder."""
    import yaml

    own = {
        "--config.file": str(folder / "prometheus.yml"),
        STORAGE: str(folder / "data"),
        "--web.listen-address": f"127.0.0.1:{port}",
    }
    command = yaml.safe_load(bundled("docker-compose.yml").read_text())["services"]["prometheus"]["command"]
    parts = [flag.partition("=") for flag in command]
    return [f"{name}{equals}{own.get(name, value)}" for name, equals, value in parts]


def configuration(port: int) -> str:
    """Return the bundled configuration for a Prometheus on the host itself."""
    text = bundled("prometheus/prometheus.yml").read_text()
    return on_port(text, port).replace("host.docker.internal", "127.0.0.1")


def rules() -> dict[str, str]:
    """Return the bundled rules by their paths in the configuration."""
    return {f"rules/{file.name}": file.read_text() for file in sorted(bundled("prometheus/rules").glob("*.yml"))}


def _program() -> str:
    program = shutil.which("prometheus")
    if program is None:
        raise MissingPrerequisite(
            "there is no prometheus on PATH",
            "install 2.42 or newer (Debian: apt install prometheus; macOS: brew install prometheus;"
            " else https://prometheus.io/download/), or run it in Docker: orchestrate stack up",
        )
    return program


def _digest(command: Sequence[str], files: Mapping[str, str]) -> str:
    return hashlib.sha256(json.dumps([list(command), dict(files)]).encode()).hexdigest()[:16]
