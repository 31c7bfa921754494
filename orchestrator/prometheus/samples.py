"""A recorded trial as samples: the series that a Prometheus scraping its exporter would have stored."""

from collections.abc import Iterator, Mapping

from orchestrator.analysis.trial.score import score
from orchestrator.metrics.catalogue import PREFIX
from orchestrator.metrics.exporter import Exporter
from orchestrator.model.prices import Prices
from orchestrator.prometheus.placement import PAUSE_S
from orchestrator.prometheus.remote_write import STALE, Labels, labels_of
from orchestrator.trace.file import Trace

# The scrape interval of the stack's Prometheus.
STEP_S = 5.0
# The label that replaces the scraped address.
INSTANCE = "push"

Samples = dict[Labels, list[tuple[float, float]]]


def samples_of(
    sweep_id: str, trace: Trace, prices: Prices | None, *, name: str = "", created: float | None = None
) -> Samples:
    """Return a trial's samples, (UNIX seconds, value) by series. Each series ends, the scorecard's a pause later.

    `name` and `created` belong to the sweep. The samples depend on this trial alone, whichever trials are pushed with
    it.
    """
    assert trace.trial is not None
    begin, end = trace.events[0].t, trace.events[-1].t
    moment = begin
    exporter = Exporter(sweep_id, name=name, created=created, prices=prices, clock=lambda: moment)
    samples: Samples = {}
    there: set[Labels] = set()
    exporter.trial_started(1, 1, trace.trial)
    events = iter(trace.events)
    upcoming = next(events, None)
    for moment in _grid(begin, end):
        while upcoming is not None and upcoming.t <= moment:
            exporter.event(upcoming)
            upcoming = next(events, None)
        there = _scrape(exporter, moment, samples, there)
    exporter.trial_ended(trace.trial, score(trace.trial, trace.events, prices), "")
    for moment in _grid(end + STEP_S, end + PAUSE_S - STEP_S):
        there = _scrape(exporter, moment, samples, there)
    # Series of the whole sweep continue with its next trial, which can begin at this moment.
    for labels in there:
        if any(name == "trial_id" for name, _ in labels):
            samples[labels].append((end + PAUSE_S, STALE))
    return samples


def verdict_samples(sweep_id: str, verdicts: Mapping[str, int], end: float) -> Samples:
    """Return the verdicts on a sweep's settings, visible in the last `PAUSE_S` seconds before `end`."""
    samples: Samples = {}
    for setting, place in verdicts.items():
        labels = {"sweep_id": sweep_id, "setting": setting, "job": "orchestrator", "instance": INSTANCE}
        shown = [(end - back_s, float(place)) for back_s in range(int(PAUSE_S - STEP_S), 0, -int(STEP_S))]
        samples[labels_of(PREFIX + "setting_verdict", labels)] = [*shown, (end, STALE)]
    return samples


def _scrape(exporter: Exporter, t: float, samples: Samples, before: set[Labels]) -> set[Labels]:
    """Add the samples at `t`, and stale markers for series that existed `before`, as Prometheus would."""
    there = set()
    for family in exporter.collect():
        for sample in family.samples:
            labels = labels_of(sample.name, {**sample.labels, "job": "orchestrator", "instance": INSTANCE})
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
