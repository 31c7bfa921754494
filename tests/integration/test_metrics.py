"""The metrics of a real sweep, scraped 50 times a second: those of its trace, and the trial is none the worse.

The sweep runs once for all tests of this module.
"""

import json
import re
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from orchestrator.analysis.score import score
from orchestrator.model.prices import Prices
from orchestrator.observer.trace import read_trace
from tests.integration.conftest import Orchestrate, free_port

ARCHES = {"x86_worker_node": "x86_64", "arm_worker_node": "arm64"}
SCRAPES_PER_S = 50
RAYS_METRICS_AFTER_S = 40.0
OPENMETRICS = "application/openmetrics-text; version=1.0.0"

COST = re.compile(r"^orchestrator_cost_dollars_total\{.*\} (.+)$", re.MULTILINE)

Samples = dict[str, list[tuple[dict[str, str], float]]]


def get(url: str, **headers: str) -> str:
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
class Hammer:
    """Scrapes again and again in a thread of its own; keeps when it was answered, and what matters of the answers."""

    url: str
    times: list[float] = field(default_factory=list)
    of_the_trial: str = ""
    of_the_trial_at: float = 0.0
    spent: list[float] = field(default_factory=list)
    failures: list[tuple[float, OSError]] = field(default_factory=list)

    @contextmanager
    def at_work(self) -> Iterator[None]:
        ended = threading.Event()
        thread = threading.Thread(target=self._run, args=(ended,))
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()

    def _run(self, ended: threading.Event) -> None:
        due = time.monotonic()
        while not ended.is_set():
            asked = time.time()
            try:
                text = get(f"{self.url}/metrics")
            except OSError as error:
                self.failures.append((asked, error))
                ended.wait(0.1)
                continue
            self.times.append(asked)
            if "orchestrator_trial_info{" in text:
                self.of_the_trial, self.of_the_trial_at = text, asked
                self.spent.append(sum(map(float, COST.findall(text))))
            due = max(due + 1 / SCRAPES_PER_S, time.monotonic())
            ended.wait(due - time.monotonic())


@dataclass
class Swept:
    """What was seen of a sweep while it ran, and what it left."""

    hammer: Hammer
    during: str
    during_openmetrics: str
    healthy: str
    targets: list[dict[str, Any]]
    of_targets: dict[str, str]
    exit_code: int
    output: str
    document: Any
    trace: list[dict[str, Any]]

    @property
    def trial(self) -> Any:
        (trial,) = self.document["trials"]
        return trial

    @property
    def node_events(self) -> list[dict[str, Any]]:
        """The scaling events of the trace in the order in which they were told."""
        return [
            event
            for event in self.trace
            if event["type"] == "node" and not event["is_head"] and event["cause"] != "baseline"
        ]


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Swept]:
    command, port = Orchestrate(tmp_path_factory.mktemp("scraped") / "home"), free_port()
    url = f"http://127.0.0.1:{port}"
    hammer = Hammer(url)
    sweep = ["sweep", "--upscaling-speed", "5", "--idle-timeout-minutes", "0.1", "--tasks", "12", "--task-seconds", "8"]
    process = command.start(*sweep, "--metrics-port", str(port))
    try:
        command.wait_for(lambda: f"metrics: {url}/metrics" in command.output(), process, "metrics")
        with hammer.at_work():
            command.wait_for(lambda: _in_phase(hammer.of_the_trial, "running"), process, "tasks")
            during, during_openmetrics = hammer.of_the_trial, get(f"{url}/metrics", Accept=OPENMETRICS)
            healthy = get(f"{url}/healthz")
            targets = json.loads(get(f"{url}/sd"))
            of_targets = _answers(targets)
            exit_code = process.wait(180)
        document = command.json("show", "@last")
        yield Swept(
            hammer, during, during_openmetrics, healthy, targets, of_targets, exit_code, command.output(), document,
            command.trace(),
        )  # fmt: skip
    finally:
        process.kill()
        command("clean", "--force")


def _in_phase(text: str, phase: str) -> bool:
    return any(labels["phase"] == phase and value for labels, value in samples(text).get("trial_phase", ()))


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


def of_trial(swept: Swept, name: str) -> list[tuple[dict[str, str], float]]:
    """The last that was said of a metric while the trial ran."""
    return samples(swept.hammer.of_the_trial)[name]


def test_the_running_trial_is_shown_with_its_nodes_by_architecture(swept: Swept) -> None:
    during = samples(swept.during)
    nodes: Counter[tuple[str, str]] = Counter()
    for labels, count in during["nodes"]:
        nodes[labels["node_type"], labels["arch"]] += int(count)
    ((info, one),) = during["trial_info"]

    assert nodes.keys() == set(ARCHES.items())
    assert min(nodes.values()) >= 1
    assert one == 1
    assert (info["sweep_id"], info["trial_id"]) == (swept.document["sweep_id"], swept.trial["trial_id"])
    assert info["setting"] == "v2 speed=5 idle=0.1"
    assert swept.healthy == "the cluster is looked at\n"


def test_the_same_is_served_as_openmetrics(swept: Swept) -> None:
    names = {family.name for family in parse_openmetrics(swept.during_openmetrics)}  # type: ignore[no-untyped-call]

    assert {"orchestrator_trial_info", "orchestrator_nodes", "orchestrator_observer_poll_seconds"} <= names


def test_targets_of_both_types_and_of_the_head_answer_with_rays_metrics(swept: Swept) -> None:
    nodes = [group for group in swept.targets if group["labels"]["ray_port"] == "node"]
    workers = {(group["labels"]["node_type"], group["labels"]["arch"]) for group in nodes} - {("head_node", "x86_64")}
    heads_ports = {
        group["labels"]["ray_port"] for group in swept.targets if group["labels"]["node_type"] == "head_node"
    }

    assert workers == set(ARCHES.items())
    assert heads_ports == {"node", "autoscaler", "dashboard"}
    for group in swept.targets:
        (address,) = group["targets"]
        assert address in swept.of_targets, f"{group} didn't answer"
        assert group["labels"]["trial_id"] == swept.trial["trial_id"]
        if group in nodes:
            assert "ray_node_" in swept.of_targets[address], group


def test_every_scrape_was_answered_until_the_sweep_ended(swept: Swept) -> None:
    times = swept.hammer.times

    assert len(times) > SCRAPES_PER_S / 2 * (times[-1] - times[0])
    assert [failure for failure in swept.hammer.failures if failure[0] < times[-1]] == []


def test_the_trial_was_none_the_worse_for_it(swept: Swept) -> None:
    prices = Prices.model_validate(swept.document["environment"]["prices"])
    trace = read_trace(Path(swept.trial["trace"]))
    submitted = next(event["t"] for event in swept.trace if event.get("phase") == "running")
    launched = {each["node"] for each in swept.node_events if each["state"] == "requested" and each["t"] >= submitted}

    assert swept.exit_code == 0, swept.output
    assert swept.trial["scorecard"]["valid"], swept.trial["scorecard"]["invalid_because"]
    assert trace.trial is not None
    assert swept.trial["scorecard"] == score(trace.trial, trace.events, prices).model_dump(mode="json")
    assert swept.trial["scorecard"]["launches"] == len(launched) == 4


def test_the_counters_are_those_of_the_trace(swept: Swept) -> None:
    """The last scrape may miss what was told in the moment before the trial's end, and nothing else."""
    counted = Counter(
        {
            (labels["node_type"], labels["arch"], labels["event"], labels["cause"]): int(value)
            for labels, value in of_trial(swept, "scaling_events_total")
        }
    )
    told = swept.node_events[: counted.total()]
    missing = swept.node_events[counted.total() :]

    assert counted == Counter((each["node_type"], each["arch"], each["state"], each["cause"]) for each in told)
    assert [event for event in missing if event["t"] < swept.hammer.of_the_trial_at - 2] == []


def test_the_histograms_are_those_of_the_trace(swept: Swept) -> None:
    tasks = Counter(event["arch"] for event in swept.trace if event["type"] == "task")
    waits = {labels["arch"]: value for labels, value in of_trial(swept, "task_wait_seconds_count")}
    stages = {(labels["arch"], labels["stage"]): value for labels, value in of_trial(swept, "node_stage_seconds_count")}
    launched = Counter(event["arch"] for event in swept.node_events if event["previous"] == "installing")

    assert waits == tasks
    assert sum(waits.values()) == 12
    assert {arch: stages[arch, "launch"] for arch in launched} == launched


def test_the_cost_never_fell(swept: Swept) -> None:
    spent = swept.hammer.spent

    assert spent == sorted(spent)
    assert spent[-1] > 0


def test_after_the_end_nobody_listens(swept: Swept) -> None:
    with pytest.raises(urllib.error.URLError, match="Connection refused"):
        get(f"{swept.hammer.url}/metrics")
