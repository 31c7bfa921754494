"""Results of recording rules for a pushed trial, because Prometheus evaluates rules only for the present."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from orchestrator.prometheus.client import Prometheus
from orchestrator.prometheus.placement import Key
from orchestrator.prometheus.remote_write import STALE, labels_of
from orchestrator.prometheus.samples import STEP_S, Samples

_POINTS_OF_A_QUERY = 10_000


@dataclass(frozen=True)
class Rule:
    """A recording rule: the series that it records, and its expression."""

    record: str
    expression: str


def recording_rules(file: Path) -> list[Rule]:
    """Return the recording rules of a file, in its order: later rules use earlier ones."""
    import yaml

    groups = yaml.safe_load(file.read_text())["groups"]
    return [Rule(rule["record"], rule["expr"]) for group in groups for rule in group["rules"] if "record" in rule]


def recorded(prometheus: Prometheus, rule: Rule, trial: Key, begin: float, end: float) -> Samples:
    """Return the samples that the rule would have recorded from `begin` to `end` of the trial, UNIX seconds.

    Series of other trials that ran at the same time are excluded.
    """
    found: Samples = {}
    for start, stop in _parts(begin, end):
        for series in prometheus.over(rule.expression, start, stop, STEP_S):
            labels = {key: value for key, value in series["metric"].items() if key != "__name__"}
            if (labels.get("sweep_id"), labels.get("trial_id")) == trial:
                points = found.setdefault(labels_of(rule.record, labels), [])
                points.extend(series["values"])
    return {labels: with_ends(points, end) for labels, points in found.items()}


def with_ends(points: Sequence[tuple[float, float]], until: float) -> list[tuple[float, float]]:
    """Return a series with stale markers, as Prometheus writes them: a step after the last value, and at each gap."""
    ended = []
    nexts = [t for t, _ in points[1:]] + [until + STEP_S]
    for (t, value), following in zip(points, nexts, strict=True):
        ended.append((t, value))
        if following - t > 1.5 * STEP_S:
            ended.append((t + STEP_S, STALE))
    return ended


def _parts(begin: float, end: float) -> Iterator[tuple[float, float]]:
    """Yield the span in parts on one grid, each with at most as many points as a server returns per query."""
    length = _POINTS_OF_A_QUERY * STEP_S
    start = begin
    while start <= end:
        yield start, min(end, start + length)
        start += length + STEP_S
