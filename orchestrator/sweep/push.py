"""Shows recorded or simulated trials in Prometheus as if they had been scraped while they ran."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator.analysis.score import score
from orchestrator.errors import InputError, MissingPrerequisite
from orchestrator.model.events import Event, FaultEvent, NodeEvent, TaskEvent
from orchestrator.model.prices import Prices
from orchestrator.observer.exporter import Exporter
from orchestrator.observer.remotewrite import STALE, Labels, labels_of, send
from orchestrator.observer.trace import Trace
from orchestrator.sweep.runner import SweepFolder

# As often as the stack's Prometheus scrapes.
STEP_S = 5.0
# Between two simulated trials, and after the last, so that scorecards can be seen.
PAUSE_S = 60.0
_POINTS_OF_A_QUERY = 10_000
_TIMEOUT_S = 60.0


@dataclass(frozen=True)
class Placement:
    """By how many seconds the trials of a sweep were moved when they were pushed last."""

    moved_by: Mapping[str, float]

    @classmethod
    def read(cls, home: Path, sweep_id: str) -> "Placement":
        """What the last push wrote down; empty if there was none."""
        try:
            return cls(json.loads(_placement_file(home, sweep_id).read_text()))
        except (OSError, ValueError):
            return cls({})

    def write(self, home: Path, sweep_id: str) -> None:
        """Write it down, for boards that show these trials."""
        _placement_file(home, sweep_id).write_text(json.dumps(dict(self.moved_by)))


def _placement_file(home: Path, sweep_id: str) -> Path:
    return SweepFolder.of(home, sweep_id).root / "pushed.json"


Samples = dict[Labels, list[tuple[float, float]]]


def laid_out(traces: Sequence[Trace], *, now: float) -> list[Trace]:
    """The traces one after another, with a pause behind each, so that the last ends now."""
    lengths = [_span(trace)[1] - _span(trace)[0] + PAUSE_S for trace in traces]
    begin = now - sum(lengths)
    moved = []
    for trace, length in zip(traces, lengths, strict=True):
        first = _span(trace)[0]
        moved.append(Trace(trace.trial, trace.context, tuple(_moved(event, begin - first) for event in trace.events)))
        begin += length
    return moved


def samples_of(sweep_id: str, traces: Iterable[Trace], prices: Prices | None) -> Samples:
    """What a Prometheus that scrapes every `STEP_S` would have seen of the trials; each series ends after its trial."""
    moment = 0.0
    exporter = Exporter(sweep_id, prices=prices, clock=lambda: moment)
    samples: Samples = {}
    there: set[Labels] = set()
    recorded = sorted((trace for trace in traces if trace.trial is not None and trace.events), key=_span)
    for number, trace in enumerate(recorded):
        assert trace.trial is not None
        begin, end = _span(trace)
        until = _span(recorded[number + 1])[0] if number + 1 < len(recorded) else end + PAUSE_S
        moment = begin
        exporter.trial_started(number + 1, len(recorded), trace.trial)
        events = iter(trace.events)
        upcoming = next(events, None)
        for moment in _grid(begin, end):
            while upcoming is not None and upcoming.t <= moment:
                exporter.event(upcoming)
                upcoming = next(events, None)
            there = _scrape(exporter, moment, samples, there)
        exporter.trial_ended(trace.trial, score(trace.trial, trace.events, prices), "")
        moment = end + STEP_S
        while moment < min(until, end + PAUSE_S):
            there = _scrape(exporter, moment, samples, there)
            moment += STEP_S
    return samples


def push(prometheus: str, samples: Samples, rules: Path, told: Callable[[str], None]) -> int:
    """Write samples, then what the recording rules make of them, as they would have; returns how many samples."""
    written = send(prometheus, samples)
    times = [t for found in samples.values() for t, _ in found]
    for name, expression in _recording_rules(rules):
        told(name)
        written += send(prometheus, _recorded(prometheus, name, expression, min(times), max(times)))
    return written


def _scrape(exporter: Exporter, t: float, samples: Samples, before: set[Labels]) -> set[Labels]:
    """What is there at `t`. What was there `before` and isn't any more has ended, as a Prometheus would write it."""
    there = set()
    for family in exporter.collect():
        for sample in family.samples:
            labels = labels_of(sample.name, {**sample.labels, "job": "orchestrator", "instance": "push"})
            samples.setdefault(labels, []).append((t, sample.value))
            there.add(labels)
    for labels in before - there:
        samples[labels].append((t, STALE))
    return there


def _grid(begin: float, end: float) -> Iterator[float]:
    t = begin
    while t < end:
        yield t
        t += STEP_S
    yield end


def _span(trace: Trace) -> tuple[float, float]:
    return (trace.events[0].t, trace.events[-1].t) if trace.events else (0.0, 0.0)


def _moved(event: Event, by: float) -> Event:
    times = ["t"]
    if isinstance(event, TaskEvent):
        times += ["submitted", "started", "ended"]
    if isinstance(event, NodeEvent | FaultEvent) and event.since is not None:
        times.append("since")
    if isinstance(event, FaultEvent) and event.until is not None:
        times.append("until")
    return event.model_copy(update={name: getattr(event, name) + by for name in times})


def _recording_rules(rules: Path) -> Iterator[tuple[str, str]]:
    """Name and expression of each, in the order of the file, in which later ones use earlier ones."""
    import yaml

    for group in yaml.safe_load(rules.read_text())["groups"]:
        for rule in group["rules"]:
            if "record" in rule:
                yield rule["record"], rule["expr"]


def _recorded(prometheus: str, name: str, expression: str, begin: float, end: float) -> Mapping[Labels, Any]:
    """What a recording rule would have recorded."""
    found: Samples = {}
    length = _POINTS_OF_A_QUERY * STEP_S
    start = begin
    while start <= end:
        for series in _query_range(prometheus, expression, start, min(end, start + length)):
            labels = labels_of(name, {key: value for key, value in series["metric"].items() if key != "__name__"})
            found.setdefault(labels, []).extend((float(t), float(value)) for t, value in series["values"])
        start += length + STEP_S
    for samples in found.values():
        if samples[-1][0] < end:
            samples.append((samples[-1][0] + STEP_S, STALE))
    return found


def _query_range(prometheus: str, expression: str, start: float, end: float) -> list[dict[str, Any]]:
    import requests

    query = {"query": expression, "start": str(start), "end": str(end), "step": str(STEP_S)}
    try:
        answer = requests.post(f"{prometheus.rstrip('/')}/api/v1/query_range", query, timeout=_TIMEOUT_S)
        body = answer.json()
    except (requests.RequestException, ValueError) as error:
        raise MissingPrerequisite(f"the Prometheus at {prometheus} doesn't answer queries: {error}"[:300]) from None
    if body.get("status") != "success":
        raise InputError(f"the Prometheus at {prometheus} can't evaluate a rule: {str(body.get('error'))[:300]}")
    return body["data"]["result"]  # type: ignore[no-any-return]
