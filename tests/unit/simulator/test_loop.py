"""The event loop: what is due runs in the order of time, and nothing else moves the clock."""

from orchestrator.simulator.loop import EventLoop


def test_calls_run_in_the_order_of_time_and_then_in_that_of_asking() -> None:
    loop, ran = EventLoop(), []
    for name, when in (("late", 2.0), ("first", 1.0), ("second", 1.0)):
        loop.call_at(when, lambda name=name: ran.append((loop.now, name)))  # type: ignore[misc]
    loop.run_until(2.0)

    assert [(1.0, "first"), (1.0, "second"), (2.0, "late")] == ran


def test_a_call_after_the_end_stays_due() -> None:
    loop = EventLoop()
    loop.call_later(5.0, lambda: None)
    loop.run_until(4.0)

    assert (4.0, 5.0) == (loop.now, loop.next_event())


def test_a_call_that_is_asked_for_while_running_still_runs_if_it_is_due() -> None:
    loop, ran = EventLoop(), []
    loop.call_at(1.0, lambda: loop.call_later(1.0, lambda: ran.append(loop.now)))
    loop.run_until(2.0)

    assert [2.0] == ran
    assert loop.next_event() is None


def test_a_time_that_is_over_means_at_once_and_the_clock_never_goes_back() -> None:
    loop, ran = EventLoop(), []
    loop.run_until(3.0)
    loop.call_at(1.0, lambda: ran.append(loop.now))
    loop.run_until(2.0)

    assert ([3.0], 3.0) == (ran, loop.now)


def test_ten_tenths_of_a_second_are_a_second() -> None:
    loop = EventLoop()
    for _ in range(10):
        loop.run_until(loop.now + 0.1)

    assert 1.0 == loop.now
