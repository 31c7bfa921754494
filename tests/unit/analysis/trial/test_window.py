"""What of a trace counts. Seconds stand for seconds after the submission."""

from orchestrator.analysis.trial.window import measured, submission
from tests.support.builders import T0, baseline, life, node, phase, sound, task, trial

TRACE = sound(
    baseline("n0"),
    life("n1", requested=2, allocated=3, running=10, terminated=50),
    node(-5, "gone", "idle"),
    node(-1, "gone", "terminated"),
    task("n0", 1, 11, submitted=0),
    task("n1", 12, 30, submitted=4),
    end=60,
)


def test_the_window_lasts_from_the_first_submission_to_the_last_end() -> None:
    window = measured(trial(), TRACE)

    assert window is not None
    assert (window.start, window.end, window.last) == (T0, T0 + 30, T0 + 60)


def test_nodes_count_until_the_cluster_is_back_at_its_minimum_size() -> None:
    window = measured(trial(), TRACE)

    assert window is not None
    assert (window.settled, window.accounted) == (T0 + 50, T0 + 50)


def test_nodes_count_to_the_end_of_a_trace_that_does_not_show_the_cluster_to_settle() -> None:
    window = measured(trial(), [event for event in TRACE if getattr(event, "state", "") != "terminated"])

    assert window is not None
    assert (window.settled, window.accounted) == (None, T0 + 60)


def test_nodes_that_were_gone_before_do_not_count() -> None:
    window = measured(trial(), TRACE)

    assert window is not None
    assert [each.node for each in window.lives] == ["n0", "n1"]
    assert [each.node for each in window.launched] == ["n1"]


def test_a_trace_without_a_task_has_no_window_but_maybe_a_submission() -> None:
    assert measured(trial(), [phase(0.5, "running")]) is None
    assert submission([phase(-1, "submitting"), phase(0.5, "running")]) == T0 + 0.5
    assert submission([phase(-1, "submitting")]) is None
    assert submission(TRACE) == T0
