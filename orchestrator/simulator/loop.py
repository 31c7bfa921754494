"""The discrete-event core: a virtual clock and the calls that are due on it."""

import heapq
from collections.abc import Callable

# Times are multiples of a microsecond, so that their sums don't depend on the order and print alike.
_TICKS_PER_S = 1_000_000


class EventLoop:
    """A queue of calls at virtual times, in seconds from 0. Calls of the same time run in the order of scheduling.

    >>> loop = EventLoop()
    >>> loop.call_at(2.0, lambda: print(loop.now))
    >>> loop.run_until(5.0)
    2.0
    """

    def __init__(self) -> None:
        self._ticks = 0
        self._queue: list[tuple[int, int, Callable[[], None]]] = []
        self._asked = 0

    @property
    def now(self) -> float:
        """Virtual seconds."""
        return self._ticks / _TICKS_PER_S

    def call_at(self, when: float, call: Callable[[], None]) -> None:
        """Schedule `call` at a time, or now if that time has passed."""
        self._asked += 1
        heapq.heappush(self._queue, (max(round(when * _TICKS_PER_S), self._ticks), self._asked, call))

    def call_later(self, seconds: float, call: Callable[[], None]) -> None:
        """Schedule `call` after that many virtual seconds."""
        self.call_at(self.now + seconds, call)

    def next_event(self) -> float | None:
        """Return the time of the next call, or None if there is none."""
        return self._queue[0][0] / _TICKS_PER_S if self._queue else None

    def run_until(self, when: float) -> None:
        """Run all calls that are due up to and including a time, and set the clock to it."""
        end = max(round(when * _TICKS_PER_S), self._ticks)
        while self._queue and self._queue[0][0] <= end:
            self._ticks, _, call = heapq.heappop(self._queue)
            call()
        self._ticks = end
