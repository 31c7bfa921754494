"""Observes a running Ray cluster: events go into a trace, and its metrics are served."""

import logging
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.errors import InputError, OrchestrateError
from orchestrator.lab import metrics
from orchestrator.lab.home import Home
from orchestrator.lab.progress import Reporter
from orchestrator.lab.targets import find_address, open_view, shape_of_file

if TYPE_CHECKING:
    from orchestrator.model.events import Event

_log = logging.getLogger(__name__)

_SLICE_S = 1.0


@dataclass(frozen=True, kw_only=True)
class Observation:
    """Options of an observation. Without `seconds` it lasts until Ctrl-C; without `trace` the file is under the home.

    `name` is the cluster's in metrics. A restart with the same name goes on with its series; None takes the address.
    """

    address: str | None
    trace: Path | None
    cluster: Path | None
    monitor_log: Path | None
    prices: str
    interval_s: float
    metrics_port: int | None
    metrics_access: metrics.Access
    name: str | None
    seconds: float | None


def observe_cluster(home: Home, wanted: Observation, sink: "Callable[[Event], None]", reporter: Reporter) -> None:
    """Observe until the time is over or Ctrl-C; `sink` gets each event. Raises OrchestrateError."""
    from orchestrator.inputs.prices import read_prices
    from orchestrator.metrics.discovery import targets_of
    from orchestrator.metrics.exporter import Exporter
    from orchestrator.observer.node_tracker import describe_by
    from orchestrator.observer.observer import LogSources, Observer
    from orchestrator.trace.file import TraceWriter, new_trace_path
    from orchestrator.trace.tail import Tail

    home.check()
    metrics.check_port(wanted.metrics_port, wanted.metrics_access.host)
    if wanted.name is not None and not re.fullmatch(r"[\w.-]+", wanted.name):
        raise InputError(f"--name: {wanted.name!r} is no name", "letters, digits, dots, dashes and underscores")
    if wanted.monitor_log is not None and not wanted.monitor_log.is_file():
        raise InputError(f"--monitor-log: {wanted.monitor_log} is not a file")
    address = find_address(home, wanted.address)
    view, _ = open_view(address)
    path = wanted.trace or new_trace_path(home.root / "observed", time.strftime("%Y%m%d-%H%M%S"))
    shape = shape_of_file(wanted.cluster)
    logs = LogSources(monitor=Tail(wanted.monitor_log) if wanted.monitor_log is not None else None)
    observer = Observer(view, describe_by(shape), logs=logs, interval_s=wanted.interval_s)
    exporter = Exporter("observed", prices=read_prices(wanted.prices), observer=lambda: observer)
    # Not the time, as in the trace's name: each restart would be another cluster.
    exporter.watch(wanted.name or address.replace(":", "-"), shape)
    reporter.say(f"observing {address}, trace in {path}; Ctrl-C ends it")
    try:
        writer = TraceWriter(path, context={"observed": address}, sinks=[sink, exporter.event])
    except FileExistsError:
        raise InputError(f"--trace: {path} exists already, and is left as it is", "name a file that doesn't") from None
    except OSError as error:
        raise InputError(f"--trace: {path} can't be written: {error.strerror}") from None
    served = metrics.serving(
        exporter, lambda: targets_of(observer), wanted.metrics_port, reporter, wanted.metrics_access
    )
    with writer, served:
        observer.attach(writer.emit)
        observer.start()
        try:
            deadline = time.monotonic() + wanted.seconds if wanted.seconds is not None else float("inf")
            while (left := deadline - time.monotonic()) > 0:
                time.sleep(min(left, _SLICE_S))
                if observer.failure is not None:
                    raise OrchestrateError(f"the observer stopped after an error: {observer.failure}")
        except KeyboardInterrupt:
            _log.info("ended by Ctrl-C")
        finally:
            observer.stop()
            for problem in writer.stopped:
                said = " ".join(problem.split())
                reporter.say(
                    f"note: the view or the metrics stopped after an error: {said}; details: orchestrate -v observe"
                )
