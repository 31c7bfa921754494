"""A real sweep that a real Prometheus watches: v1 with a speed, v1 with a fraction, v2. It runs once for all tests.

From the second trial on it is scraped 50 times a second beside that. The first is the second's twin: v1 asks for up to
5 nodes of a type at once whatever the speed, and there may be 3, so that both trials of v1 do the same.
"""

import json
import re
import shutil
import subprocess
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families as parse_text

from orchestrator.observer.server import DEFAULT_PORT
from orchestrator.observer.trace import Trace, read_trace
from orchestrator.stack.probes import is_taken
from tests.integration.conftest import Orchestrate, free_port
from tests.integration.prometheus_server import Prometheus

# A phase has to be longer than a scrape interval to be seen: scaling down takes the idle timeout. Tasks are long enough
# for the machine to rest from starting nodes, for otherwise the trials are invalid.
SWEEP = (
    *("--autoscaler", "v1,v2", "--upscaling-speed", "5", "--target-utilization-fraction", "0.25"),
    *("--idle-timeout-minutes", "0.2", "--tasks", "24", "--task-seconds", "8"),
)
TRIALS = 3
TASKS = 24
SCRAPES_PER_S = 50
CLIENTS = 2
HAMMERED_FROM = 2
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

    @contextmanager
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
class Watched:
    """The sweep, what was seen of its last trial while it ran, and the Prometheus, which still runs if there is one."""

    command: Orchestrate
    prometheus: Prometheus | None
    hammer: Hammer
    during: str
    during_openmetrics: str
    healthy: str
    targets: list[dict[str, Any]]
    of_targets: dict[str, str]
    exit_code: int
    output: str
    document: Any
    traces: list[Trace]
    begin: float
    end: float


@contextmanager
def watching(home: Path) -> Iterator[Watched]:
    """The sweep, through `--stack` where a Prometheus is on PATH and its port for the exporter is free."""
    command, began = Orchestrate(home), time.time()
    exporter, prometheus = free_port(), None
    how = ["--metrics-port", str(exporter)]
    if shutil.which("prometheus") and not is_taken(DEFAULT_PORT):
        port, exporter, how = free_port(), DEFAULT_PORT, ["--stack"]
        prometheus = Prometheus(f"http://127.0.0.1:{port}")
        up = command("stack", "up", "--native", "--prometheus-port", str(port))
        assert up.returncode == 0, up.stderr
    url = f"http://127.0.0.1:{exporter}"
    hammer = Hammer(url)
    process = command.start("sweep", *SWEEP, *how)
    try:
        for number in range(1, HAMMERED_FROM + 1):
            _wait_for_trial(number, command, process)
        with hammer.at_work():
            for number in range(HAMMERED_FROM + 1, TRIALS + 1):
                _wait_for_trial(number, command, process)
            command.wait_for(lambda: _v2_runs(hammer.of_a_trial), process, "tasks")
            during, during_openmetrics = hammer.of_a_trial, get(f"{url}/metrics", Accept=OPENMETRICS)
            healthy = get(f"{url}/healthz")
            targets = json.loads(get(f"{url}/sd"))
            of_targets = _answers(targets)
            exit_code = process.wait(180)
        document = command.json("show", "@last")
        traces = [read_trace(Path(trial["trace"])) for trial in document["trials"]]
        yield Watched(
            command, prometheus, hammer, during, during_openmetrics, healthy, targets, of_targets, exit_code,
            command.output(), document, traces, began, time.time(),
        )  # fmt: skip
    finally:
        process.kill()
        process.wait()
        command("clean", "--force")
        command("stack", "down", "--volumes")


def _wait_for_trial(number: int, command: Orchestrate, process: subprocess.Popen[str]) -> None:
    begun = f"trial {number} of {TRIALS}"
    command.wait_for(lambda: begun in command.output(), process, begun)


def _v2_runs(text: str) -> bool:
    found = samples(text)
    v2 = {labels["trial_id"] for labels, _ in found.get("trial_info", ()) if labels["autoscaler"] == "v2"}
    return any(
        labels["phase"] == "running" and value and labels["trial_id"] in v2
        for labels, value in found.get("trial_phase", ())
    )


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
