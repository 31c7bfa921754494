"""A real Prometheus with the project's configuration and rules, on free ports."""

import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

from orchestrator.assets import bundled
from orchestrator.stack.state import on_port
from tests.support.requirements import free_port, require

HOW = "install Prometheus 2.42 or newer (Debian: apt install prometheus)"


@dataclass(frozen=True)
class Prometheus:
    """One that runs; `url` is where."""

    url: str

    def ask(self, path: str, **parameters: str) -> Any:
        """What its API answers."""
        answer = requests.post(f"{self.url}/api/v1/{path}", parameters, timeout=30).json()
        assert answer["status"] == "success", (parameters, answer)
        return answer["data"]["result"]

    def over(self, expression: str, begin: float, end: float, step: float = 5.0) -> list[dict[str, Any]]:
        """A query over a range, as panels ask."""
        found = self.ask("query_range", query=expression, start=str(begin), end=str(end), step=str(step))
        return list(found)

    def at(self, expression: str, t: float) -> list[dict[str, Any]]:
        """A query at an instant."""
        return list(self.ask("query", query=expression, time=str(t)))


@contextmanager
def running(folder: Path, exporter_port: int, **changes: str) -> Iterator[Prometheus]:
    """Started with what the stack runs with, but on this host; skips the test where Prometheus is missing.

    `changes` are texts of the configuration, and what stands in their place.
    """
    program = shutil.which("prometheus")
    require("prometheus", program is not None, HOW)
    port = free_port()
    configuration = bundled("prometheus/prometheus.yml").read_text().replace("host.docker.internal", "127.0.0.1")
    configuration = configuration.replace("127.0.0.1:9477", f"127.0.0.1:{exporter_port}")
    for old, new in changes.items():
        assert old in configuration, old
        configuration = configuration.replace(old, new)
    (folder / "prometheus.yml").write_text(on_port(configuration, port))
    shutil.copytree(bundled("prometheus/rules"), folder / "rules")
    command = [str(program), f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data"]
    command += [f"--web.listen-address=127.0.0.1:{port}", "--web.enable-remote-write-receiver"]
    with (folder / "log").open("w") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + 60
        while not _ready(port):
            assert server.poll() is None, (folder / "log").read_text()
            assert time.monotonic() < deadline, (folder / "log").read_text()
            time.sleep(0.2)
        yield Prometheus(f"http://127.0.0.1:{port}")
    finally:
        server.terminate()
        server.wait(30)


def _ready(port: int) -> bool:
    try:
        return requests.get(f"http://127.0.0.1:{port}/-/ready", timeout=2).ok
    except requests.RequestException:
        return False
