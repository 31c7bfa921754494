"""Record simulated trials ahead of time: in processes of this machine, or on a Ray cluster.

A recording is the same wherever it was made, so traces don't depend on the choice.
"""

import contextlib
import os
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import BrokenExecutor, Future, ProcessPoolExecutor
from pathlib import Path
from typing import Any

from orchestrator.backends.base import Executor, Recording
from orchestrator.errors import MissingPrerequisite, TrialFailed
from orchestrator.model.events import Event
from orchestrator.model.trial import Trial

# Below this many seconds of work, processes take longer to start than they save.
MIN_PARALLEL_S = 6.0


def record(trial: Trial, timeout_s: float) -> Recording:
    """Simulate a trial and return its recording."""
    from orchestrator.simulator.simulation import simulate

    events: list[str] = []

    def keep(event: Event) -> None:
        events.append(event.model_dump_json())

    try:
        simulate(trial, keep, timeout_s=timeout_s)
    except TrialFailed as error:
        # not logged: the recording holds the error, which fails the trial where it is read.
        return Recording(events, error)
    return Recording(events, None)


class RunAhead:
    """Records expected trials ahead of the caller, in their order.

    `start` starts the executor that records them; None records nothing ahead. With `lazy` the executor starts only
    once a trial that the caller ran itself shows that the remaining ones are worth it. `to_come` is the number of
    trials in all, where `expect` announces only a batch of them.
    """

    def __init__(
        self,
        start: Callable[[], Executor] | None,
        timeout_s: Callable[[Trial], float],
        *,
        lazy: bool = False,
        to_come: int = 0,
    ) -> None:
        self._start = start
        self._timeout_s = timeout_s
        self._lazy = lazy
        self._to_come = to_come
        self._executor: Executor | None = None
        self._queue: deque[Trial] = deque()
        self._begun: dict[str, Future[Recording]] = {}

    def expect(self, trials: Sequence[Trial]) -> None:
        """Announce the trials that the caller will ask for next, in this order."""
        self._queue = deque(trials)
        for recording in self._begun.values():
            recording.cancel()
        self._begun.clear()
        self._to_come = max(self._to_come, len(trials))

    def recording(self, trial: Trial) -> Recording | None:
        """Return the recording of a trial; None if the caller has to run it, inside `here()`."""
        if self._start is not None and not self._lazy and self._executor is None and self._queue:
            self._executor = self._start()
        if self._executor is not None:
            self._keep_busy(self._executor)
        if trial in self._queue:
            self._queue.remove(trial)
        begun = self._begun.pop(trial.trial_id, None)
        try:
            return None if begun is None else begun.result()
        except BrokenExecutor:
            raise MissingPrerequisite(
                "a process that simulates trials was killed, probably because memory ran out",
                "use fewer: --parallel 1",
            ) from None

    @contextlib.contextmanager
    def here(self) -> Iterator[None]:
        """Time one trial in this process. If the trials to come take long, the executor starts before the next one."""
        began = time.monotonic()
        try:
            yield
        finally:
            self._to_come -= 1
            if (time.monotonic() - began) * self._to_come > MIN_PARALLEL_S:
                self._lazy = False

    def _keep_busy(self, executor: Executor) -> None:
        """Submit trials, but keep no more recordings in memory than it takes to keep the executor busy."""
        while self._queue and len(self._begun) < 2 * executor.width:
            trial = self._queue.popleft()
            try:
                self._begun[trial.trial_id] = executor.submit(trial, self._timeout_s(trial))
            except BrokenExecutor as error:
                # not logged: it is raised where the trial's recording is read.
                begun: Future[Recording] = Future()
                begun.set_exception(error)
                self._begun[trial.trial_id] = begun

    def close(self) -> None:
        """End the executor. It may be called twice."""
        if self._executor is not None:
            self._executor.close()
            self._executor = None


class ProcessExecutor:
    """Processes of this machine; they end with the process that started them, even if that is killed."""

    def __init__(self, processes: int) -> None:
        from multiprocessing import get_context

        self.width = processes
        self._pool = ProcessPoolExecutor(processes, mp_context=get_context("spawn"), initializer=_end_with_parent)

    def submit(self, trial: Trial, timeout_s: float) -> "Future[Recording]":
        """See `Executor`."""
        return self._pool.submit(record, trial, timeout_s)

    def close(self) -> None:
        """See `Executor`."""
        # The pool forgets its processes when it is shut down, and would wait for their current tasks.
        processes = list((self._pool._processes or {}).values())
        self._pool.shutdown(wait=False, cancel_futures=True)
        for process in processes:
            # not logged: it has ended, as it should.
            with contextlib.suppress(ProcessLookupError):
                process.kill()
        for process in processes:
            process.join()


def _end_with_parent() -> None:
    """Make a worker ignore Ctrl-C, which the parent handles, and end with the parent even after kill -9."""
    from multiprocessing import parent_process

    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, signal.SIG_IGN)
    parent = parent_process()
    assert parent is not None

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


class RayExecutor:
    """Tasks of one CPU on a Ray cluster; this package is sent there. Raises MissingPrerequisite if none answers."""

    def __init__(self, address: str) -> None:
        import logging

        import ray

        package = Path(__file__).parents[2]
        try:
            ray.init(
                address,
                runtime_env={"py_modules": [str(package)]},
                log_to_driver=False,
                logging_level=logging.ERROR,
            )
        except (ConnectionError, RuntimeError) as error:
            raise MissingPrerequisite(f"the Ray cluster at {address} can't be used: {error}") from None
        self.width = max(1, 2 * int(ray.cluster_resources().get("CPU", 1)))
        self._record: Any = ray.remote(num_cpus=1, max_retries=3)(record)

    def submit(self, trial: Trial, timeout_s: float) -> "Future[Recording]":
        """See `Executor`."""
        return self._record.remote(trial, timeout_s).future()  # type: ignore[no-any-return]

    def close(self) -> None:
        """See `Executor`."""
        import ray

        ray.shutdown()
