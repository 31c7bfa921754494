"""`orchestrate push` into a real Prometheus: once, twice, at their own times, beside what was scraped."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from orchestrator.prometheus import remote_write as remotewrite
from orchestrator.prometheus.client import Prometheus as Api
from orchestrator.prometheus.placement import PAUSE_S, Placement, moved
from orchestrator.prometheus.samples import Samples, samples_of
from orchestrator.sweeps.ledger import Ledger
from orchestrator.trace.file import Trace, TraceWriter
from tests.support.builders import T0, baseline, life, node, sound, task, trial
from tests.support.orchestrate_command import Orchestrate
from tests.support.prometheus_server import Prometheus, running
from tests.support.requirements import free_port

LENGTH_S = 100
AGO_S = 3600.0
NODES = "trial_arch:orchestrator_nodes:sum"


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """One that takes samples of the last month, as the stack's does; each test has a sweep of its own in it."""
    with running(tmp_path_factory.mktemp("prometheus"), free_port()) as found:
        yield found


@dataclass(frozen=True)
class Sweep:
    """A sweep in a ledger; its traces are an hour old, and overlap if there are several."""

    command: Orchestrate
    sweep_id: str
    traces: list[Trace]

    def push(self, to: Prometheus, *options: str) -> str:
        """What `orchestrate push` says when all goes well."""
        result = self.command("push", self.sweep_id, "--to", to.url, *options)
        assert (result.returncode, result.stderr) == (0, "")
        return " ".join(result.stdout.split())

    def samples(self) -> Samples:
        """What a Prometheus would have scraped of them."""
        return {key: found for each in self.traces for key, found in samples_of(self.sweep_id, each, None).items()}

    @property
    def placement(self) -> dict[str, float]:
        """By how much they were moved when they were pushed last."""
        return dict(Placement.read(self.command.home, self.sweep_id).moved_by)


def recorded(speed: float, backend: str, ago_s: float) -> Trace:
    """One node is there, a second one of another architecture comes after 12 s and goes after 60."""
    events = sound(
        baseline("n0"),
        node(0, "n0", "running"),
        *life("n1", "arm", requested=2, allocated=3, running=12, terminated=60),
        task("n0", 0, 20),
        task("n1", 12, 30, node_type="arm"),
        end=LENGTH_S - 2,
    )
    described = trial(tasks=2, upscaling_speed=speed).model_copy(update={"backend": backend})
    return moved(Trace(described, {}, tuple(events)), time.time() - ago_s - T0)


def sweep(command: Orchestrate, name: str, *, backend: str = "local", trials: int = 2, ago_s: float = AGO_S) -> Sweep:
    """Written as a runner would have."""
    command.home.mkdir(parents=True, exist_ok=True)
    traces = [recorded(speed, backend, ago_s) for speed in range(1, trials + 1)]
    ledger = Ledger(f"sqlite:///{command.home / 'ledger.db'}")
    described = [each.trial for each in traces if each.trial is not None]
    ledger.add_sweep(name, described, name="", backend=backend, spec={}, environment={})
    for each, trace in zip(described, traces, strict=True):
        path = command.home / "sweeps" / name / f"{each.trial_id}.jsonl"
        with TraceWriter(path, trial=each) as writer:
            for event in trace.events:
                writer.emit(event)
        ledger.start_trial(name, each.trial_id, str(path))
        ledger.end_trial(name, each.trial_id, "done")
    ledger.set_sweep_status(name, "done")
    return Sweep(command, name, traces)


def scraped(samples: Samples) -> Samples:
    """The same as a Prometheus has them that scraped the exporter."""
    return {
        tuple((key, "127.0.0.1:9477" if key == "instance" else value) for key, value in labels): found
        for labels, found in samples.items()
    }


def span(trace: Trace, by: float = 0.0) -> tuple[float, float]:
    return trace.events[0].t + by, trace.events[-1].t + by


def everything(prometheus: Prometheus, sweep_id: str) -> list[Any]:
    """Every sample that there is of a sweep, of the last two hours, in the order of series."""
    found = prometheus.at(f'{{sweep_id="{sweep_id}"}}[2h]', time.time())
    return sorted((sorted(each["metric"].items()), each["values"]) for each in found)


def nodes_at(prometheus: Prometheus, sweep_id: str, trace: Trace, after_s: float, by: float = 0.0) -> dict[str, float]:
    """Recorded nodes by architecture, so long after the trial's begin."""
    assert trace.trial is not None
    series = f'{NODES}{{sweep_id="{sweep_id}", trial_id="{trace.trial.trial_id}"}}'
    found = prometheus.at(series, span(trace, by)[0] + after_s)
    return {each["metric"]["arch"]: float(each["value"][1]) for each in found}


def test_real_trials_are_shown_at_their_own_times(orchestrate: Orchestrate, prometheus: Prometheus) -> None:
    own = sweep(orchestrate, "own")
    said = own.push(prometheus)

    assert "samples of 2 trials written" in said
    assert set(own.placement.values()) == {0.0}
    for each in own.traces:
        assert nodes_at(prometheus, "own", each, 30) == {"x86_64": 1, "arm64": 1}
        assert nodes_at(prometheus, "own", each, 80) == {"x86_64": 1, "arm64": 0}
        assert nodes_at(prometheus, "own", each, LENGTH_S + 30) == {}


def test_real_trials_are_moved_to_the_present_where_that_is_asked_for(
    orchestrate: Orchestrate, prometheus: Prometheus
) -> None:
    own, began = sweep(orchestrate, "moved"), time.time()
    own.push(prometheus, "--end-now")

    ends = []
    for each in own.traces:
        assert each.trial is not None
        by = own.placement[each.trial.trial_id]
        ends.append(span(each, by)[1] + PAUSE_S)
        assert nodes_at(prometheus, "moved", each, 30, by) == {"x86_64": 1, "arm64": 1}
        assert nodes_at(prometheus, "moved", each, 30) == {}
    assert began <= max(ends) <= time.time()


@pytest.mark.parametrize("backend", ["local", "simulated"])
def test_pushing_again_changes_nothing(orchestrate: Orchestrate, prometheus: Prometheus, backend: str) -> None:
    own = sweep(orchestrate, f"twice{backend}", backend=backend)
    own.push(prometheus)
    once = everything(prometheus, own.sweep_id)
    own.push(prometheus)

    assert len(once) > 100
    assert everything(prometheus, own.sweep_id) == once


def test_a_push_that_broke_off_is_mended_by_another(orchestrate: Orchestrate, prometheus: Prometheus) -> None:
    """Its first trial is there in part, where the broken push remembered that it would be."""
    own = sweep(orchestrate, "broken", backend="simulated")
    ids = [each.trial.trial_id for each in own.traces if each.trial is not None]
    by = -600.0
    Placement(dict.fromkeys(ids, by)).write(orchestrate.home, "broken")
    part = samples_of("broken", moved(own.traces[0], by), None)
    remotewrite.send(Api(prometheus.url), {key: part[key] for key in list(part)[: len(part) // 2]})
    own.push(prometheus)

    assert own.placement == dict.fromkeys(ids, by)
    for each in own.traces:
        assert nodes_at(prometheus, "broken", each, 30, by) == {"x86_64": 1, "arm64": 1}


def test_what_was_scraped_is_not_doubled(orchestrate: Orchestrate, prometheus: Prometheus) -> None:
    own = sweep(orchestrate, "scraped")
    remotewrite.send(Api(prometheus.url), scraped(own.samples()))
    before = everything(prometheus, "scraped")
    said = own.push(prometheus)

    assert "2 trials left out, since this Prometheus has scraped them" in said
    assert "written" not in said
    assert everything(prometheus, "scraped") == before


def test_what_was_scraped_in_part_of_a_sweep_leaves_the_rest_to_be_pushed(
    orchestrate: Orchestrate, prometheus: Prometheus
) -> None:
    own = sweep(orchestrate, "partly")
    first, second = own.traces
    remotewrite.send(Api(prometheus.url), scraped(samples_of("partly", first, None)))
    said = own.push(prometheus)

    assert "1 trial left out" in said
    assert "samples of 1 trial written" in said
    assert nodes_at(prometheus, "partly", second, 30) == {"x86_64": 1, "arm64": 1}
    assert nodes_at(prometheus, "partly", first, 30) == {}  # no rule was evaluated for it then


def test_a_sweep_that_ran_meanwhile_gets_no_samples(orchestrate: Orchestrate, prometheus: Prometheus) -> None:
    foreign = sweep(Orchestrate(orchestrate.home / "foreign"), "foreign")
    remotewrite.send(Api(prometheus.url), scraped(foreign.samples()))
    before = everything(prometheus, "foreign")
    sweep(orchestrate, "mine").push(prometheus)

    assert everything(prometheus, "foreign") == before


def test_a_copy_is_never_put_into_an_older_one(orchestrate: Orchestrate, prometheus: Prometheus) -> None:
    own = sweep(orchestrate, "over", backend="simulated")
    own.push(prometheus)
    before = everything(prometheus, "over")
    result = orchestrate("push", "over", "--to", prometheus.url, "--end-now")

    assert result.returncode == 2
    assert "would overlap itself" in result.stderr
    assert everything(prometheus, "over") == before


def test_samples_that_are_too_old_are_refused_with_a_way_out(orchestrate: Orchestrate, prometheus: Prometheus) -> None:
    own = sweep(orchestrate, "old", ago_s=365 * 86400.0)
    result = orchestrate("push", "old", "--to", prometheus.url)

    assert result.returncode == 2
    assert "too old" in result.stderr
    assert "--end-now" in result.stderr
    own.push(prometheus, "--end-now")
