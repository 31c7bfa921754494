"""Observes a running Ray cluster: events go into a trace and the ledger, and its metrics are served."""

import logging
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.errors import InputError, OrchestrateError, SpecError
from orchestrator.lab import metrics
from orchestrator.lab.home import Home
from orchestrator.lab.progress import Reporter
from orchestrator.lab.targets import find_address, open_view
from orchestrator.logs import recording, suppressed
from orchestrator.private_files import make_private_folder

if TYPE_CHECKING:
    from orchestrator.inputs.cluster_config import ClusterFile
    from orchestrator.model.events import Event
    from orchestrator.model.prices import Prices
    from orchestrator.model.scorecard import Scorecard
    from orchestrator.model.settings import Settings
    from orchestrator.model.trial import Trial
    from orchestrator.observer.observed import Observed
    from orchestrator.observer.observer import Observer
    from orchestrator.observer.task_follower import Followed, TaskFollower
    from orchestrator.rayapi.gcs import GcsView
    from orchestrator.sweeps.ledger import Ledger
    from orchestrator.trace.file import TraceWriter

_log = logging.getLogger(__name__)

BACKEND = "observed"
"""The backend of an observation in the ledger. Nothing can be run on it."""
DEFAULT_TRACE_MB = 1_000
# The machine that observes isn't what is observed.
_HOST_INTERVAL_S = 10.0
_SLICE_S = 1.0


@dataclass(frozen=True, kw_only=True)
class Observation:
    """Options of an observation. Without `seconds` it lasts until Ctrl-C; without `trace` the file is under the home.

    `name` is the cluster's in metrics. A restart with the same name goes on with its series; None takes the address.
    Events are recorded until the trace has `trace_mb` megabytes.
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
    trace_mb: float = DEFAULT_TRACE_MB


def observe_cluster(home: Home, wanted: Observation, sink: "Callable[[Event], None]", reporter: Reporter) -> "Observed":
    """Observe until the time is over or Ctrl-C; `sink` gets each event. Raises OrchestrateError."""
    from orchestrator.inputs.cluster_config import read_cluster_file
    from orchestrator.inputs.prices import read_prices
    from orchestrator.metrics.discovery import targets_of
    from orchestrator.metrics.exporter import Exporter
    from orchestrator.observer.node_tracker import describe_by
    from orchestrator.observer.observer import LogSources, Observer
    from orchestrator.sweeps.folder import SweepFolder
    from orchestrator.sweeps.runner import claimed, new_sweep_id
    from orchestrator.trace.file import TraceWriter, new_trace_path
    from orchestrator.trace.tail import Tail

    home.check()
    metrics.check_port(wanted.metrics_port, wanted.metrics_access.host)
    _check(wanted)
    address = find_address(home, wanted.address)
    view, _ = open_view(address)
    path = (wanted.trace or new_trace_path(home.root / "observed", time.strftime("%Y%m%d-%H%M%S"))).absolute()
    cluster = read_cluster_file(wanted.cluster) if wanted.cluster is not None else None
    shape = cluster.shape if cluster is not None else None
    logs = LogSources(monitor=Tail(wanted.monitor_log) if wanted.monitor_log is not None else None)
    observer = Observer(
        view, describe_by(shape), logs=logs, interval_s=wanted.interval_s, host_interval_s=_HOST_INTERVAL_S
    )
    prices = read_prices(wanted.prices)
    exporter = Exporter("observed", prices=prices, observer=lambda: observer)
    # Not the time, as in the trace's name: each restart would be another cluster.
    exporter.watch(wanted.name or address.replace(":", "-"), shape)
    ledger, sweep_id = home.ledger(), new_sweep_id()
    settings = _settings(view, cluster)
    folder = SweepFolder.of(home.root, sweep_id)
    try:
        writer = TraceWriter(
            path,
            context={"observed": address, "sweep_id": sweep_id},
            sinks=[sink, exporter.event],
            limit=round(wanted.trace_mb * 1e6),
        )
    except FileExistsError:
        raise InputError(f"--trace: {path} exists already, and is left as it is", "name a file that doesn't") from None
    except OSError as error:
        raise InputError(f"--trace: {path} can't be written: {error.strerror}") from None
    reporter.say(f"observing {address}, trace in {path}; Ctrl-C ends it")
    served = metrics.serving(
        exporter, lambda: targets_of(observer), wanted.metrics_port, reporter, wanted.metrics_access
    )
    make_private_folder(folder.root)
    entry = _Entry(ledger, sweep_id, address, path, prices, wanted, cluster, settings)
    with writer, claimed(folder), recording(folder.own_log), entry.open() as began, served:
        followed = _observe(view, observer, writer, settings, began, wanted.seconds, reporter)
        writer.close()
        return entry.close(began, followed, full=writer.full)


def _check(wanted: Observation) -> None:
    if wanted.name is not None and not re.fullmatch(r"[\w.-]+", wanted.name):
        raise InputError(f"--name: {wanted.name!r} is no name", "letters, digits, dots, dashes and underscores")
    if wanted.monitor_log is not None and not wanted.monitor_log.is_file():
        raise InputError(f"--monitor-log: {wanted.monitor_log} is not a file")


def _settings(view: "GcsView", cluster: "ClusterFile | None") -> "Settings":
    """Return what the cluster and its file say about the autoscaler's settings; others are None."""
    from orchestrator.model.settings import Settings

    known: dict[str, object] = {}
    try:
        if (version := view.autoscaler()) is not None:
            known["autoscaler"] = version
    except ConnectionError:
        _log.warning("the autoscaler's version can't be read", exc_info=True)
    if cluster is not None:
        known["upscaling_speed"] = cluster.upscaling_speed
        known["idle_timeout_minutes"] = cluster.idle_timeout_minutes
    return Settings.model_validate(known)


def _observe(
    view: "GcsView",
    observer: "Observer",
    writer: "TraceWriter",
    settings: "Settings",
    began: float,
    seconds: float | None,
    reporter: Reporter,
) -> "Followed":
    """Observe, and return the numbers of what was recorded of tasks, actors and placement groups."""
    from orchestrator.model.events import PhaseEvent, SettingsEvent
    from orchestrator.observer.node_types import NodeTypes
    from orchestrator.observer.task_follower import TaskFollower
    from orchestrator.rayapi.task_feed import TaskFeed

    in_force = settings.model_dump(include=settings.model_fields_set, exclude_none=True)
    writer.emit(PhaseEvent(t=began, phase="running", detail="observed"))
    writer.emit(SettingsEvent(t=began, in_force=in_force, as_wanted=True))
    observer.attach(writer.emit)
    feed, types = TaskFeed(view.address), NodeTypes()
    follower = TaskFollower(feed, observer.of_ray_node, writer.emit, begin=began)

    def look() -> None:
        if observer.latest is not None:
            for event in types.new(observer.latest):
                writer.emit(event)

    observer.start()
    follower.start()
    try:
        _wait(observer, follower, seconds, look)
    finally:
        try:
            followed = follower.stop()
        finally:
            feed.close()
            observer.stop()
            look()
            for problem in writer.stopped:
                said = " ".join(problem.split())
                reporter.say(
                    f"note: the view or the metrics stopped after an error: {said}; details: orchestrate -v observe"
                )
    writer.emit(PhaseEvent(t=time.time(), phase="done"))
    return followed


def _wait(observer: "Observer", follower: "TaskFollower", seconds: float | None, look: Callable[[], None]) -> None:
    """Wait until the time is over, or Ctrl-C."""
    deadline = time.monotonic() + seconds if seconds is not None else float("inf")
    try:
        while (left := deadline - time.monotonic()) > 0:
            time.sleep(min(left, _SLICE_S))
            look()
            for failure in (observer.failure, follower.failure):
                if failure is not None:
                    raise OrchestrateError(f"the observer stopped after an error: {failure}")
    except KeyboardInterrupt:
        _log.info("ended by Ctrl-C")


@dataclass(frozen=True)
class _Entry:
    """The observation's entry in the ledger: a sweep without trials until it ends."""

    ledger: "Ledger"
    sweep_id: str
    address: str
    trace: Path
    prices: "Prices"
    wanted: Observation
    cluster: "ClusterFile | None"
    settings: "Settings"

    @contextmanager
    def open(self) -> Iterator[float]:
        """Record that the observation runs, and give its begin; record that it was interrupted after an error."""
        self._begin()
        try:
            yield time.time()
        except BaseException:
            with suppressed(_log, "writing down the interruption", OrchestrateError):
                self.ledger.interrupt(self.sweep_id, "interrupted")
            raise

    def _begin(self) -> None:
        import json

        from orchestrator.liveness import ProcessMark
        from orchestrator.model.spec import SweepSpec
        from orchestrator.sweeps.runner import environment

        cluster = None if self.wanted.cluster is None else str(self.wanted.cluster.absolute())
        spec = SweepSpec(name=self.wanted.name or "", backend=BACKEND, cluster=cluster, prices=self.wanted.prices)
        self.ledger.add_sweep(
            self.sweep_id,
            [],
            name=spec.name,
            backend=BACKEND,
            spec=json.loads(spec.model_dump_json()),
            environment={
                **environment(),
                "prices": self.prices.model_dump(mode="json"),
                "process": ProcessMark.this_process().as_record(),
                "trace": str(self.trace),
                "observed": self.address,
            },
        )

    def close(self, began: float, followed: "Followed", *, full: bool) -> "Observed":
        """Record what was observed, and return it."""
        from orchestrator.observer.observed import Observed

        trial, nodes, card, not_scored, assumed = self._summarised()
        if trial is None:
            self.ledger.set_sweep_status(self.sweep_id, "done")
        else:
            self.ledger.add_observed(self.sweep_id, trial, trace=str(self.trace), started=began, scorecard=card)
        notes = [*([not_scored] if not_scored else []), *assumed]
        if notes:
            self.ledger.add_notes(self.sweep_id, notes)
        return Observed(
            self.sweep_id,
            self.address,
            self.trace,
            time.time() - began,
            followed,
            nodes,
            self.settings,
            full,
            not_scored,
            assumed,
        )

    def _summarised(self) -> "tuple[Trial | None, int, Scorecard | None, str, tuple[str, ...]]":
        """Return the observation as a trial, its worker nodes, its scorecard or why it has none, and assumptions."""
        from orchestrator.analysis.trial.node_lives import node_lives
        from orchestrator.analysis.trial.observed_shape import observed_shape
        from orchestrator.analysis.trial.score import score
        from orchestrator.lab.show import MAX_TRACE_BYTES
        from orchestrator.model.trial import Trial
        from orchestrator.model.workload import Workload
        from orchestrator.trace.file import read_trace

        try:
            size = self.trace.stat().st_size
            if size > MAX_TRACE_BYTES:
                return None, 0, None, f"not scored: its trace is larger than {MAX_TRACE_BYTES / 1e6:g} MB", ()
            events = read_trace(self.trace).events
            shape, assumed = observed_shape(events)
        except SpecError as error:
            _log.warning("the trace can't be read back", exc_info=True)
            return None, 0, None, f"not scored: {error.message}", ()
        except ValueError as error:
            _log.info("the cluster's shape isn't known", exc_info=True)
            return None, 0, None, f"not scored: {error}", ()
        if self.cluster is not None:
            shape, assumed = self.cluster.shape, ()
        trial = Trial(
            backend=BACKEND,
            settings=self.settings,
            shape=shape,
            workload=Workload.model_validate({"observed": self.address}),
        )
        return trial, len(node_lives(events)), score(trial, events, self.prices), "", assumed
