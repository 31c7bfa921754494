"""Trials as a Prometheus would have seen them: what is written, when, and where it ends."""

import math
from collections import Counter
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from orchestrator.errors import InputError, MissingPrerequisite
from orchestrator.model.events import NodeEvent
from orchestrator.observer import remotewrite
from orchestrator.observer.exporter import LINGER_S
from orchestrator.observer.remotewrite import STALE, labels_of
from orchestrator.observer.trace import Trace
from orchestrator.sweep.push import PAUSE_S, STEP_S, Placement, Samples, _moved, laid_out, samples_of
from orchestrator.sweep.runner import SweepFolder
from tests.builders import T0, baseline, fault, life, node, sound, task, trial


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
    seen = values(samples_of("s", [trace()], None), "orchestrator_nodes", arch="arm64", state="running")
    before = [value for t, value in seen if t < 12]
    after = [value for t, value in seen if t >= 12 and not math.isnan(value)]

    assert set(before) == {0.0}
    assert set(after) == {1.0}
    assert [t for t, _ in seen] == sorted(t for t, _ in seen)
    assert max(later[0] - earlier[0] for earlier, later in pairwise(seen)) <= STEP_S


def test_a_trials_series_end_with_it_and_its_scorecard_begins() -> None:
    samples = samples_of("s", [trace()], None)
    pending = values(samples, "orchestrator_pending_cpu_cores")
    card = values(samples, "orchestrator_scorecard", quantity="makespan_s", valid="true")

    assert math.isnan(pending[-1][1])
    assert pending[-1][0] <= 40 + LINGER_S + STEP_S
    assert [value for t, value in pending[:-1] if math.isnan(value)] == []
    assert card[0][0] > 40
    assert {value for _, value in card} == {30.0}


def test_a_nodes_series_ends_with_the_node() -> None:
    short = trace()
    events = [*short.events, node(21, "n0", "terminated")]
    samples = samples_of("s", [Trace(short.trial, {}, tuple(sorted(events, key=lambda event: event.t)))], None)
    state = values(samples, "orchestrator_node_state", node="n0")

    assert [t for t, value in state if math.isnan(value)] == [state[-1][0]]
    assert 21 <= state[-1][0] <= 21 + STEP_S


@pytest.mark.parametrize("pause_s", [0.5, 7.0, 200.0])
def test_every_scaling_event_is_counted_in_the_end_however_soon_the_next_trial_begins(pause_s: float) -> None:
    """Trials of a real sweep keep their times; the second begins when the first has hardly ended."""
    first, second = trace(1), trace(5)
    length = first.events[-1].t - first.events[0].t
    later = tuple(_moved(event, length + pause_s) for event in second.events)
    # In the order of a sweep whose first trial was run last, by --resume.
    samples = samples_of("s", [Trace(second.trial, {}, later), first], None)

    for each in (first, second):
        assert each.trial is not None
        seen = {
            (label["node_type"], label["event"]): [value for _, value in found if not math.isnan(value)][-1]
            for key, found in samples.items()
            if (label := dict(key))["__name__"] == "orchestrator_scaling_events_total"
            and label["trial_id"] == each.trial.trial_id
        }
        scaling = [e for e in each.events if isinstance(e, NodeEvent) and not e.is_head and e.cause != "baseline"]
        assert seen == Counter((event.node_type, event.state) for event in scaling)
    for found in samples.values():
        assert [t for t, _ in found] == sorted({t for t, _ in found})


def test_trials_do_not_mix() -> None:
    first, second = laid_out([trace(1), trace(5)], now=T0)
    samples = samples_of("s", [first, second], None)
    by_trial = [
        values(samples, "orchestrator_pending_cpu_cores", trial_id=each.trial.trial_id)
        for each in (first, second)
        if each.trial is not None
    ]

    assert by_trial[0][-1][0] <= by_trial[1][0][0]


def test_simulated_trials_stand_one_after_another_and_end_now() -> None:
    laid = laid_out([trace(1), trace(5)], now=T0 + 5000)
    length = trace().events[-1].t - trace().events[0].t

    assert laid[1].events[-1].t == pytest.approx(T0 + 5000 - PAUSE_S)
    assert laid[1].events[0].t - laid[0].events[-1].t == pytest.approx(PAUSE_S)
    assert laid[0].events[-1].t - laid[0].events[0].t == pytest.approx(length)


def test_all_times_of_an_event_move_together() -> None:
    recorded = trace()
    faults = (fault(5, "n0", "pause", until=9), fault(9, "n0", "pause", since=5))
    recorded = replace(recorded, events=tuple(sorted([*recorded.events, *faults], key=lambda event: event.t)))
    (moved,) = laid_out([recorded], now=T0 + 5000)
    by = moved.events[0].t - recorded.events[0].t
    for before, after in zip(recorded.events, moved.events, strict=True):
        for name in ("t", "submitted", "started", "ended", "since", "until"):
            if getattr(before, name, None) is not None:
                assert getattr(after, name) == pytest.approx(getattr(before, name) + by)


def test_where_trials_were_put_is_remembered(tmp_path: Path) -> None:
    assert Placement.read(tmp_path, "s") == Placement({})
    SweepFolder.of(tmp_path, "s").root.mkdir(parents=True)
    Placement({"a": 5.0}).write(tmp_path, "s")

    assert Placement.read(tmp_path, "s") == Placement({"a": 5.0})


# Remote write


def test_what_is_sent_can_be_read_back(monkeypatch: pytest.MonkeyPatch) -> None:
    import snappy

    bodies: list[bytes] = []
    monkeypatch.setattr(remotewrite, "_post", lambda url, body: bodies.append(snappy.decompress(body)))
    labels = labels_of("up", {"job": "x", "empty": ""})
    sent = remotewrite.send("http://nowhere", {labels: [(1.5, 2.0), (2.5, STALE)]})
    request = remotewrite._write_request().FromString(bodies[0])
    (series,) = request.timeseries

    assert sent == 2
    assert [(label.name, label.value) for label in series.labels] == [("__name__", "up"), ("job", "x")]
    assert [sample.timestamp for sample in series.samples] == [1500, 2500]
    assert b"\x02\x00\x00\x00\x00\x00\xf0\x7f" in bodies[0]  # the very NaN that means stale


def test_many_samples_are_sent_in_several_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    bodies: list[bytes] = []
    monkeypatch.setattr(remotewrite, "_post", lambda url, body: bodies.append(body))
    series = {labels_of("x", {"n": str(n)}): [(float(t), 1.0) for t in range(15_000)] for n in range(3)}

    assert remotewrite.send("http://nowhere", series) == 45_000
    assert len(bodies) == 3


def test_nobody_there_is_one_clear_line() -> None:
    with pytest.raises(MissingPrerequisite, match="no Prometheus answers") as missing:
        remotewrite.send("http://127.0.0.1:9", {labels_of("x", {}): [(1.0, 1.0)]})

    assert len(missing.value.message.splitlines()) == 1


@pytest.mark.parametrize(("status", "error"), [(404, MissingPrerequisite), (400, InputError)])
def test_a_prometheus_that_refuses_is_named(
    monkeypatch: pytest.MonkeyPatch, status: int, error: type[Exception]
) -> None:
    import requests

    answer = requests.Response()
    answer.status_code, answer._content = status, b"out of bounds"
    monkeypatch.setattr(requests, "post", lambda *_, **__: answer)
    with pytest.raises(error, match="http://here"):
        remotewrite.send("http://here", {labels_of("x", {}): [(1.0, 1.0)]})
