"""The live view: one line for each step where there is no terminal, a screen where there is one."""

import io
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console, RenderableType

from orchestrator.model.events import Event
from orchestrator.model.trial import Trial
from orchestrator.report.terminal.live_view import LiveView, duration, estimate_s
from tests.support.builders import T0, baseline, demand, fault, host, life, node, note, phase, scorecard, task, trial
from tests.support.strategies import events, trials

Show = Callable[[RenderableType], str]
TRIALS = [trial(tasks=48, upscaling_speed=speed) for speed in (1, 5, 10)]


class Clock:
    """Time that a test moves; it begins at `T0`."""

    def __init__(self) -> None:
        self.now = T0

    def __call__(self) -> float:
        return self.now


class Screen:
    """A live view, its clock, and what it has printed."""

    def __init__(self, *, terminal: bool = False, width: int = 160) -> None:
        self.file = io.StringIO()
        self.clock = Clock()
        console = Console(file=self.file, width=width, force_terminal=terminal)
        self.view = LiveView(console, TRIALS, clock=self.clock)

    def after(self, seconds: float, event: Event) -> None:
        self.clock.now = T0 + seconds
        self.view.event(event)

    @property
    def lines(self) -> list[str]:
        return self.file.getvalue().splitlines()


@pytest.fixture
def screen() -> Screen:
    """Not a terminal; the first trial has begun."""
    made = Screen()
    made.view.trial_started(1, 3, TRIALS[0])
    return made


# Durations


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0:00"), (5.9, "0:05"), (65, "1:05"), (3599, "59:59"), (3600, "1:00:00"), (7384, "2:03:04"), (-3, "0:00")],
)
def test_a_duration_is_short(seconds: float, text: str) -> None:
    assert duration(seconds) == text


# Where there is no terminal


def test_a_trial_begins_with_a_line(screen: Screen) -> None:
    assert screen.lines == [f"trial 1 of 3: v2 speed=1 ({TRIALS[0].trial_id})"]


def test_each_phase_is_one_line_with_the_time_since_the_trial_began(screen: Screen) -> None:
    screen.after(1, phase(1, "starting"))
    screen.after(12, phase(12, "running", "48 tasks submitted"))
    screen.after(65, phase(65, "scaling_down"))

    assert screen.lines[1:] == ["   0:01 starting", "   0:12 running: 48 tasks submitted", "   1:05 scaling down"]


def test_a_phase_that_goes_on_is_no_new_line(screen: Screen) -> None:
    for second in range(5):
        screen.after(second, phase(second, "running", f"{second} tasks submitted"))

    assert len(screen.lines) == 2


def test_other_events_are_no_lines(screen: Screen) -> None:
    for event in (
        *life("n1", requested=1, running=5),
        task("n1", 1, 5),
        demand(),
        host(1, 50),
        note(1, "observer_gap"),
    ):
        screen.view.event(event)

    assert len(screen.lines) == 1


def test_a_valid_trial_ends_with_its_makespan(screen: Screen) -> None:
    screen.view.trial_ended(TRIALS[0], scorecard(42.1, launches=3), "")

    assert screen.lines[-1] == "  v2 speed=1: makespan 42.1 s, 3 launches, valid"


def test_an_invalid_trial_ends_with_the_reasons(screen: Screen) -> None:
    card = scorecard(42.1, valid=False, invalid_because=("a gap", "the GCS was restarted"))
    screen.view.trial_ended(TRIALS[0], card, "")

    assert screen.lines[-1].endswith("invalid: a gap; the GCS was restarted")


def test_a_trial_that_failed_ends_with_the_reason(screen: Screen) -> None:
    screen.view.trial_ended(TRIALS[0], None, "the head died")

    assert screen.lines[-1] == "  failed: the head died"


def whole_trial(screen: Screen, failed: bool = False) -> None:
    with screen.view as view:
        view.trial_started(1, 3, TRIALS[0])
        view.event(phase(1, "failed" if failed else "done", "so it is"))
        view.trial_ended(TRIALS[0], scorecard(valid=not failed), "so it is" if failed else "")


@pytest.mark.parametrize("failed", [True, False])
def test_there_are_no_escape_codes_where_there_is_no_terminal(failed: bool) -> None:
    screen = Screen()
    whole_trial(screen, failed)

    assert screen.lines
    assert "\x1b" not in screen.file.getvalue()


def test_there_are_escape_codes_on_a_terminal() -> None:
    screen = Screen(terminal=True)
    whole_trial(screen)

    assert "\x1b" in screen.file.getvalue()


def test_a_long_reason_is_one_line_where_there_is_no_terminal() -> None:
    screen = Screen(width=80)
    screen.view.trial_ended(TRIALS[0], None, "the head died, " * 20)

    assert len(screen.lines) == 1


@pytest.mark.parametrize("reason", ["no file [/tmp/x]", "no node of type [head] found"])
def test_brackets_in_a_reason_are_shown_as_they_are(screen: Screen, reason: str) -> None:
    screen.view.trial_ended(TRIALS[0], None, reason)

    assert reason in screen.lines[-1]


@pytest.mark.parametrize("detail", ["no file [/tmp/x]", "no node of type [head] found"])
def test_brackets_in_a_phase_are_shown_as_they_are(screen: Screen, detail: str) -> None:
    screen.after(1, phase(1, "running", detail))

    assert detail in screen.lines[-1]


def test_a_failure_is_told_once() -> None:
    screen = Screen()
    whole_trial(screen, failed=True)

    assert screen.file.getvalue().count("so it is") == 1


# The screen


def test_before_the_first_trial_something_starts(show: Show) -> None:
    assert "starting" in show(Screen().view.render())


def test_the_screen_shows_where_the_sweep_is(screen: Screen, show: Show) -> None:
    screen.after(70, phase(70, "running"))
    text = show(screen.view.render())

    assert "trial 1 of 3 v2 speed=1" in text
    assert "running" in text
    assert "trial 1:10  sweep 1:10, about" in text


def test_the_screen_counts_nodes_by_type_and_state(screen: Screen, show: Show) -> None:
    for event in (
        node(-1, "h", "running", node_type="head"),
        baseline("n0"),
        *life("n1", requested=1, allocated=2, running=5),
        *life("n2", requested=1),
        *life("n3", requested=1, failed=2),
        *life("a1", "arm", requested=1, allocated=2, installing=3),
    ):
        screen.view.event(event)
    text = show(screen.view.render())
    lines = {line.split()[0]: line.split() for line in text.splitlines() if line.startswith(("x86", "arm"))}

    assert lines["x86"] == ["x86", "x86_64", "1", "·", "·", "1", "1", "·"]
    assert lines["arm"] == ["arm", "arm64", "·", "·", "1", "·", "·", "·"]
    assert "nodes terminated 1" in text


def test_the_screen_shows_demand_tasks_and_load(screen: Screen, show: Show) -> None:
    for event in (demand(1, **{"CPU=1": 30, "CPU=2": 0}), task("n1", 1, 5, count=18), task("n1", 5, 6), host(1, 51.6)):
        screen.view.event(event)
    text = show(screen.view.render())

    assert "pending 30 x CPU=1 " in text
    assert "19 of 48" in text
    assert "host CPU 52 %" in text


def test_the_screen_shows_the_trend_of_the_trial(screen: Screen, show: Show) -> None:
    for seconds, event in ((0, demand(0, **{"CPU=1": 48})), (60, node(60, "n1", "requested")), (90, demand(90))):
        screen.after(seconds, event)
    lines = show(screen.view.render()).splitlines()
    (pending,) = [line for line in lines if line.startswith("pending tasks")]
    (nodes,) = [line for line in lines if line.startswith("nodes ")]

    assert pending.rstrip().endswith("max 48")
    assert pending.count("█") > nodes.count("█") > 10


def test_the_screen_shows_what_happened_last(screen: Screen, show: Show) -> None:
    screen.view.event(node(5, "n1", "requested", cause="demand"))
    screen.view.event(note(7, "observer_gap"))
    screen.view.event(baseline("n0"))
    text = show(screen.view.render())

    assert "0:05 x86 n1 requested (demand)" in text
    assert "0:07 observer_gap" in text
    assert "n0" not in text


def test_a_fault_is_a_line_and_on_the_screen(screen: Screen, show: Show) -> None:
    screen.view.event(fault(20, "n1", "pause", detail="pause@20+15"))
    screen.view.event(fault(35, "n1", "pause", detail="pause@20+15", since=20))

    assert screen.lines[1:] == [
        "   0:20 pause of x86 n1 (pause@20+15)",
        "   0:35 pause of x86 n1 is over (pause@20+15)",
    ]
    assert "0:20 pause of x86 n1 (pause@20+15)" in show(screen.view.render())


def test_the_next_trial_begins_with_an_empty_screen(screen: Screen, show: Show) -> None:
    for event in (*life("n1", requested=1, running=5), task("n1", 1, 5), demand(), phase(9, "scaling_down")):
        screen.view.event(event)
    screen.view.trial_started(2, 3, TRIALS[1])
    text = show(screen.view.render())

    assert "trial 2 of 3 v2 speed=5" in text
    assert "pending none" in text
    assert "0 of 48" in text
    assert "scaling down" not in text
    assert "n1" not in text


@given(st.lists(events(), max_size=10))
def test_no_event_breaks_the_screen(emitted: list[Event]) -> None:
    screen = Screen(terminal=True)
    screen.view.trial_started(1, 3, TRIALS[0])
    for event in emitted:
        screen.view.event(event)
    Console(file=io.StringIO(), width=160).print(screen.view.render())

    assert screen.view.remaining_s() > 0


# What is left


def test_what_is_left_shrinks_as_time_goes_by(screen: Screen) -> None:
    before = screen.view.remaining_s()
    screen.clock.now += 10

    assert screen.view.remaining_s() == pytest.approx(before - 10)


def test_what_is_left_is_never_less_than_nothing(screen: Screen) -> None:
    screen.clock.now += 1e6

    assert screen.view.remaining_s() == 0.0


def test_what_is_left_is_learned_from_the_trials_that_have_ended(screen: Screen) -> None:
    screen.clock.now += 1000
    screen.view.trial_ended(TRIALS[0], scorecard(), "")
    screen.view.trial_started(2, 3, TRIALS[1])

    assert screen.view.remaining_s() == pytest.approx(2000)


def test_between_two_trials_the_estimate_is_that_of_the_trials_to_come(screen: Screen) -> None:
    screen.clock.now += 1000
    screen.view.trial_ended(TRIALS[0], scorecard(), "")

    assert screen.view.remaining_s() == pytest.approx(2000)


def test_nothing_is_left_after_the_last_trial(screen: Screen) -> None:
    for number, each in enumerate(TRIALS, start=1):
        screen.view.trial_started(number, 3, each)
        screen.clock.now += 1000
        screen.view.trial_ended(each, scorecard(), "")

    assert screen.view.remaining_s() == 0.0


def test_a_resumed_sweep_has_only_its_own_trials_left() -> None:
    view = LiveView(Console(file=io.StringIO()), TRIALS[2:])
    view.trial_started(3, 3, TRIALS[2])

    assert view.remaining_s() <= estimate_s(TRIALS[2]) + 20


def test_nothing_is_left_of_no_trials() -> None:
    assert LiveView(Console(file=io.StringIO()), []).remaining_s() == 0.0


@given(trials())
def test_a_trial_takes_at_least_as_long_as_a_task(tried: Trial) -> None:
    assert estimate_s(tried) > tried.workload.seconds
