"""Where simulated trials are computed ahead: in processes of this machine, or on a Ray cluster.

A recording is the same wherever it was made, so nobody who reads a trace can tell.
"""

import contextlib
import os
import signal
import threading
from collections.abc import Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from orchestrator.errors import MissingPrerequisite, TrialFailed
from orchestrator.model.events import Event
from orchestrator.model.trial import Trial

# Below so many seconds of work, processes would take longer to start than they save.
WORTH_AN_ENGINE_S = 6.0


@dataclass(frozen=True)
class Recording:
    """The events of a simulated trial as JSON lines, and why it failed, if it did."""

    events: Sequence[str]
    failure: TrialFailed | None


def record(trial: Trial, timeout_s: float) -> Recording:
    """Simulate a trial."""
    from orchestrator.simulator.simulation import simulate

    events: list[str] = []

    def keep(event: Event) -> None:
        events.append(event.model_dump_json())

    try:
        simulate(trial, keep, timeout_s=timeout_s)
    except TrialFailed as error:
        return Recording(events, error)
    return Recording(events, None)


class Engine(Protocol):
    """Computes recordings beside the caller, up to `width` at a time. `close` gives up on what isn't done."""

    width: int

    def submit(self, trial: Trial, timeout_s: float) -> "Future[Recording]":
        """Begin to simulate a trial."""
        ...

    def close(self) -> None:
        """Leave nothing running. It may be called twice."""
        ...


class ProcessEngine:
    """Processes of this machine; they end with the one that started them, however that ends."""

    def __init__(self, processes: int) -> None:
        from multiprocessing import get_context

        self.width = processes
        self._pool = ProcessPoolExecutor(processes, mp_context=get_context("spawn"), initializer=_end_with_parent)

    def submit(self, trial: Trial, timeout_s: float) -> "Future[Recording]":
        """See `Engine`."""
        return self._pool.submit(record, trial, timeout_s)

    def close(self) -> None:
        """See `Engine`."""
        # The pool forgets its processes when it is shut down, and would wait for what they are at.
        processes = list((self._pool._processes or {}).values())
        self._pool.shutdown(wait=False, cancel_futures=True)
        for process in processes:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
        for process in processes:
            process.join()


def _end_with_parent() -> None:
    """In a worker: Ctrl-C is the parent's business, and its end, even by kill -9, is the worker's."""
    from multiprocessing import parent_process

    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, signal.SIG_IGN)
    parent = parent_process()
    assert parent is not None

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


class RayEngine:
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
        """See `Engine`."""
        return self._record.remote(trial, timeout_s).future()  # type: ignore[no-any-return]

    def close(self) -> None:
        """See `Engine`."""
        import ray

        ray.shutdown()
