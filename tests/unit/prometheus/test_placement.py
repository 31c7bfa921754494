"""Where trials stand in the time of a Prometheus, and that it is remembered."""

from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.prometheus.placement import PAUSE_S, Placement, RecordedTrial, laid_out, moved
from orchestrator.trace.file import Trace
from tests.support.builders import T0, baseline, fault, sound, task, trial

A = RecordedTrial("s", "a", Path("a.jsonl"), T0, T0 + 100, simulated=True)
B = RecordedTrial("s", "b", Path("b.jsonl"), T0, T0 + 40, simulated=True)


def test_trials_that_move_stand_one_after_another_and_end_now() -> None:
    by = laid_out([A, B], now=T0 + 5000)
    (a_begin, a_end), (b_begin, b_end) = A.window(by[A.key]), B.window(by[B.key])

    assert b_end == T0 + 5000
    assert b_begin == a_end
    assert (a_end - a_begin, b_end - b_begin) == (100 + PAUSE_S, 40 + PAUSE_S)


def test_all_times_of_an_event_move_together() -> None:
    faults = (fault(5, "n0", "pause", until=9), fault(9, "n0", "pause", since=5))
    recorded = Trace(trial(), {}, tuple(sound(baseline("n0"), *faults, task("n0", 0, 20), end=40)))
    for before, after in zip(recorded.events, moved(recorded, 700.0).events, strict=True):
        for name in ("t", "submitted", "started", "ended", "since", "until"):
            if getattr(before, name, None) is not None:
                assert getattr(after, name) == pytest.approx(getattr(before, name) + 700)


def test_where_trials_were_put_is_remembered(tmp_path: Path) -> None:
    assert Placement.read(tmp_path, "s") == Placement({})
    Placement({"a": 5.0, "b": 0.1}).write(tmp_path, "s")
    Placement({"a": 7.0}).write(tmp_path, "s")

    assert Placement.read(tmp_path, "s") == Placement({"a": 7.0, "b": 0.1})


def test_the_same_trial_of_two_sweeps_moves_twice() -> None:
    other = replace(A, sweep_id="other")
    by = laid_out([A, other], now=T0)

    assert by[other.key] - by[A.key] == 100 + PAUSE_S
