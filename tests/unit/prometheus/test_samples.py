"""A trial as a Prometheus would have seen it: what is written, when, and where it ends."""

import math
from collections import Counter
from itertools import pairwise

from orchestrator.metrics.exporter import LINGER_S
from orchestrator.model.events import NodeEvent
from orchestrator.prometheus.placement import PAUSE_S, moved
from orchestrator.prometheus.samples import STEP_S, Samples, samples_of
from orchestrator.trace.file import Trace
from tests.support.builders import T0, baseline, life, node, sound, task, trial


def trace(speed: float = 1.0) -> Trace:
    """One node is there, one comes at 12; a task each; the trace goes on until 40."""
    events = sound(
        baseline("n0"),
        node(0, "n0", "running"),
        *life("n1", "arm", requested=2, allocated=3, running=12),
        task("n0", 0, 20),
        task("n1", 12, 30, node_type="arm"),
        end=40,
    )
    return Trace(trial(tasks=2, upscaling_speed=speed), {}, tuple(events))


def values(samples: Samples, name: str, **labels: str) -> list[tuple[float, float]]:
    """Time after the submission and value of the one series with these labels."""
    wanted = {"__name__": name, **labels}
    found = [each for key, each in samples.items() if wanted.items() <= dict(key).items()]
    assert len(found) == 1, sorted(samples)
    return [(t - T0, value) for t, value in found[0]]


def test_a_trial_is_seen_at_every_scrape() -> None:
    seen = values(samples_of("s", trace(), None), "orchestrator_nodes", arch="arm64", state="running")
    before = [value for t, value in seen if t < 12]
    after = [value for t, value in seen if t >= 12 and not math.isnan(value)]

    assert set(before) == {0.0}
    assert set(after) == {1.0}
    assert max(later[0] - earlier[0] for earlier, later in pairwise(seen)) <= STEP_S


def test_a_trials_series_end_with_it_and_its_scorecard_begins() -> None:
    samples = samples_of("s", trace(), None)
    pending = values(samples, "orchestrator_pending_cpu_cores")
    card = values(samples, "orchestrator_scorecard", quantity="makespan_s", valid="true")

    assert math.isnan(pending[-1][1])
    assert pending[-1][0] <= 40 + LINGER_S + STEP_S
    assert [value for t, value in pending[:-1] if math.isnan(value)] == []
    assert card[0][0] > 40
    assert {value for _, value in card[:-1]} == {30.0}


def test_every_series_ends_once_and_within_the_pause() -> None:
    for found in samples_of("s", trace(), None).values():
        assert [t for t, value in found if math.isnan(value)] == [found[-1][0]]
        assert found[-1][0] <= T0 + 40 + PAUSE_S
        assert [t for t, _ in found] == sorted({t for t, _ in found})


def test_a_nodes_series_ends_with_the_node() -> None:
    short = trace()
    events = [*short.events, node(21, "n0", "terminated")]
    samples = samples_of("s", Trace(short.trial, {}, tuple(sorted(events, key=lambda event: event.t))), None)
    state = values(samples, "orchestrator_node_state", node="n0")

    assert [t for t, value in state if math.isnan(value)] == [state[-1][0]]
    assert 21 <= state[-1][0] <= 21 + STEP_S


def test_every_scaling_event_is_counted_in_the_end() -> None:
    recorded = trace()
    seen = {
        (label["node_type"], label["event"]): [value for _, value in found if not math.isnan(value)][-1]
        for key, found in samples_of("s", recorded, None).items()
        if (label := dict(key))["__name__"] == "orchestrator_scaling_events_total"
    }
    scaling = [e for e in recorded.events if isinstance(e, NodeEvent) and not e.is_head and e.cause != "baseline"]

    assert seen == Counter((event.node_type, event.state) for event in scaling)


def test_a_trial_that_is_moved_has_the_same_values_at_other_times() -> None:
    """Apart from the metric that is a time itself."""
    here, there = samples_of("s", trace(), None), samples_of("s", moved(trace(), 512.0), None)
    here, there = (
        {key: found for key, found in samples.items() if ("__name__", STARTED) not in key} for samples in (here, there)
    )

    assert [(key, [(t + 512, repr(v)) for t, v in found]) for key, found in here.items()] == [
        (key, [(t, repr(v)) for t, v in found]) for key, found in there.items()
    ]


STARTED = "orchestrator_trial_start_timestamp_seconds"
