"""The README's `make sweep` on a real local Ray cluster, while a real Prometheus and a Grafana watch.

Its last trial is scraped 50 times a second beside that. The one before is its twin: with one node of a type, of which
there may be 3, v2 launches two more at its first update at a speed of 5 as at one of 10.
"""

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families as parse_text

from orchestrator.grafana.client import TOKEN_VARIABLE
from orchestrator.metrics.server import DEFAULT_PORT
from orchestrator.stack.probes import is_taken
from orchestrator.trace.file import Trace, read_trace
from tests.support.grafana_standin import TOKEN, Standin
from tests.support.orchestrate_command import Orchestrate
from tests.support.prometheus_server import Prometheus
from tests.support.requirements import free_port

COMMAND = ("make", "--silent", "sweep")
NAME = "three speeds"
SPEEDS = (1.0, 5.0, 10.0)
TRIALS = len(SPEEDS)
# A phase has to be longer than a scrape interval to be seen: scaling down takes the idle timeout. Tasks are long enough
# for the machine to rest from starting nodes, for otherwise the trials are invalid.
BOTH = (
    *("--autoscaler", "v1,v2", "--target-utilization-fraction", "0.25"),
    *("--idle-timeout-minutes", "0.1", "--tasks", "16", "--task-seconds", "8"),
)
SCRAPES_PER_S = 50
CLIENTS = 2
RAYS_METRICS_AFTER_S = 40.0
OPENMETRICS = "application/openmetrics-text; version=1.0.0"

_COST = re.compile(r'^orchestrator_cost_dollars_total\{.*trial_id="(\w+)".*\} (.+)$', re.MULTILINE)

_ACTIVE = re.compile(r'^orchestrator_trial_active\{.*trial_id="(\w+)".*\} 1\.0$', re.MULTILINE)

Samples = dict[str, list[tuple[dict[str, str], float]]]


def get(url: str, **headers: str) -> str:
    """What a web server answers."""
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=10) as answer:
        return str(answer.read().decode())


def samples(text: str) -> Samples:
    """Labels and values of an exposition's samples, by name without our prefix."""
    found: Samples = {}
    for family in parse_text(text):
        for sample in family.samples:
            found.setdefault(sample.name.removeprefix("orchestrator_"), []).append((sample.labels, sample.value))
    return found


@dataclass
class Client:
    """Scrapes `rate_per_s` times a second; keeps when it asked and was answered, and what matters of the answers."""

    url: str
    rate_per_s: float
    times: list[float] = field(default_factory=list)
    spent: dict[str, list[float]] = field(default_factory=dict)
    failures: list[tuple[float, OSError]] = field(default_factory=list)

    def scrape(self, ended: threading.Event, answered: Callable[[str], None]) -> None:
        """Again and again until it has `ended`; what came late is made up for."""
        due = time.monotonic()
        while not ended.wait(due - time.monotonic()):
            due += 1 / self.rate_per_s
            asked = time.time()
            try:
                text = get(f"{self.url}/metrics")
            except OSError as error:
                self.failures.append((asked, error))
                due = time.monotonic() + 0.1
                continue
            self.times.append(asked)
            now: dict[str, float] = {}
            for trial_id, dollars in _COST.findall(text):
                now[trial_id] = now.get(trial_id, 0.0) + float(dollars)
            for trial_id, total in now.items():
                self.spent.setdefault(trial_id, []).append(total)
            answered(text)


@dataclass
class Hammer:
    """Some clients at once, since one is held up by each slow answer; `texts` are the newest by active trial."""

    url: str
    clients: list[Client] = field(default_factory=list)
    first: str = ""
    of_a_trial: str = ""
    texts: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.clients = [Client(self.url, SCRAPES_PER_S / CLIENTS) for _ in range(CLIENTS)]

    @contextlib.contextmanager
    def at_work(self) -> Iterator[None]:
        """Scrapes while the block runs."""
        ended = threading.Event()
        threads = [threading.Thread(target=each.scrape, args=(ended, self._answered)) for each in self.clients]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            ended.set()
            for thread in threads:
                thread.join()

    def _answered(self, text: str) -> None:
        self.first = self.first or text
        if "orchestrator_trial_info{" in text:
            self.of_a_trial = text
        for trial_id in _ACTIVE.findall(text):
            self.texts[trial_id] = text

    @property
    def times(self) -> list[float]:
        """When a scrape was asked for that was answered, in order."""
        return sorted(t for each in self.clients for t in each.times)

    @property
    def failures(self) -> list[tuple[float, OSError]]:
        """When one was asked for that wasn't, and why."""
        return [failure for each in self.clients for failure in each.failures]


@dataclass(frozen=True)
class Swept:
    """A sweep that has ended, when it began and ended in UNIX seconds, and the last of its home."""

    command: Orchestrate
    exit_code: int
    begin: float
    end: float = field(default_factory=time.time)

    @cached_property
    def output(self) -> str:
        """All that it said."""
        return self.command.output()

    @cached_property
    def document(self) -> Any:
        """`show @last --json`."""
        return self.command.json("show", "@last")

    @cached_property
    def traces(self) -> list[Trace]:
        """One for each trial."""
        return [read_trace(Path(trial["trace"])) for trial in self.document["trials"]]


@dataclass(frozen=True)
class Seen:
    """What a sweep's exporter said while its last trial ran."""

    metrics: str
    openmetrics: str
    healthy: str
    targets: list[dict[str, Any]]
    of_targets: dict[str, str]


@dataclass(frozen=True)
class Watched:
    """The sweep, and who watched: the Prometheus, which still runs if there is one, and what is left in Grafana."""

    swept: Swept
    prometheus: Prometheus | None
    grafana: Standin
    hammer: Hammer
    seen: Seen


@contextlib.contextmanager
def watching(home: Path) -> Iterator[Watched]:
    """The sweep, through `--stack` where a Prometheus is on PATH and its port for the exporter is free."""
    command = Orchestrate(home)
    exporter, prometheus = free_port(), None
    if shutil.which("prometheus") and not is_taken(DEFAULT_PORT):
        port, exporter = free_port(), DEFAULT_PORT
        prometheus = Prometheus(f"http://127.0.0.1:{port}")
        up = command("stack", "up", "--native", "--prometheus-port", str(port))
        assert up.returncode == 0, up.stderr
    how = "--stack" if prometheus else f"--metrics-port {exporter}"
    hammer = Hammer(f"http://127.0.0.1:{exporter}")
    with Standin(role="Editor") as grafana:
        arguments = f"ARGS=--name '{NAME}' --annotate {grafana.url} {how}"
        began = time.time()
        process = command.launch([*COMMAND, arguments], ORCHESTRATE_HOME=str(command.home), **{TOKEN_VARIABLE: TOKEN})
        try:
            last = f"trial {TRIALS} of {TRIALS}"
            command.wait_for(lambda: last in command.output(), process, last, timeout_s=420)
            with hammer.at_work():
                command.wait_for(lambda: _tasks_run(hammer.of_a_trial), process, "tasks")
                seen = _look(hammer)
                exit_code = process.wait(180)
            yield Watched(Swept(command, exit_code, began), prometheus, grafana, hammer, seen)
        finally:
            _end(process)
            command("clean", "--force")
            command("stack", "down", "--volumes")


def sweep_both(home: Path, watched: Watched) -> Swept:
    """A sweep of v1, with a fraction, and v2."""
    command, began = Orchestrate(home), time.time()
    port = DEFAULT_PORT if watched.prometheus else free_port()
    process = command.start("sweep", *BOTH, "--metrics-port", str(port))
    try:
        return Swept(command, process.wait(420), began)
    finally:
        _end(process)
        command("clean", "--force")


def _end(process: subprocess.Popen[str]) -> None:
    """With what it started: make doesn't pass a signal on."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _tasks_run(text: str) -> bool:
    """Whether the last of the speeds has its tasks running."""
    found = samples(text)
    last = {
        labels["trial_id"]
        for labels, _ in found.get("trial_info", ())
        if float(labels["upscaling_speed"]) == SPEEDS[-1]
    }
    return any(
        labels["phase"] == "running" and value and labels["trial_id"] in last
        for labels, value in found.get("trial_phase", ())
    )


def _look(hammer: Hammer) -> Seen:
    metrics, openmetrics = hammer.of_a_trial, get(f"{hammer.url}/metrics", Accept=OPENMETRICS)
    healthy, targets = get(f"{hammer.url}/healthz"), json.loads(get(f"{hammer.url}/sd"))
    return Seen(metrics, openmetrics, healthy, targets, _answers(targets))


def _answers(targets: list[dict[str, Any]]) -> dict[str, str]:
    """What each target serves; Ray's agents begin a few seconds after their node."""
    found: dict[str, str] = {}
    deadline = time.monotonic() + RAYS_METRICS_AFTER_S
    wanted = [address for group in targets for address in group["targets"]]
    while len(found) < len(wanted) and time.monotonic() < deadline:
        for address in wanted:
            if address not in found:
                try:
                    found[address] = get(f"http://{address}/metrics")
                except OSError:
                    time.sleep(0.1)
    return found
