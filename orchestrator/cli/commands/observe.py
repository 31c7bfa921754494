"""`orchestrate observe`: watch any running Ray cluster and write a trace."""

import time
from pathlib import Path
from typing import Annotated

import typer

from orchestrator.cli.console import console
from orchestrator.cli.parsing import parse_duration
from orchestrator.errors import InputError, OrchestrateError
from orchestrator.lab import metrics
from orchestrator.lab.home import Home
from orchestrator.lab.targets import find_address, open_view, shape_of_file

EXAMPLES = """Examples:

  orchestrate observe --address 127.0.0.1:6379

  orchestrate observe --address 10.0.0.5:6379 --cluster cluster.yaml --for 30m --trace today.jsonl

  orchestrate observe --address 127.0.0.1:6379 --monitor-log /tmp/ray/session_latest/logs/monitor.log
"""

_SLICE_S = 1.0


def observe(
    context: typer.Context,
    address: Annotated[
        str | None, typer.Option(help="GCS of the cluster, HOST:PORT.  [default: the local cluster, or RAY_ADDRESS]")
    ] = None,
    trace: Annotated[
        Path | None, typer.Option(help="File for the trace.  [default: observed/TIME.jsonl under the home]")
    ] = None,
    cluster: Annotated[
        Path | None, typer.Option(help="Cluster config that tells the node types' architecture and limits.")
    ] = None,
    monitor_log: Annotated[
        Path | None, typer.Option(help="Ray's monitor.log, if it is on this machine: adds the stages of a launch.")
    ] = None,
    prices: Annotated[str, typer.Option(metavar="REGION|FILE", help="What nodes cost, as for sweep.")] = "us-east-1",
    interval: Annotated[float, typer.Option(min=0.05, max=60, help="Seconds between two looks.")] = 0.5,
    metrics_port: Annotated[int | None, typer.Option(metavar="PORT", help=metrics.HELP)] = None,
    for_: Annotated[str | None, typer.Option("--for", help="How long, such as 30m.  [default: until Ctrl-C]")] = None,
) -> None:
    """Watch a Ray cluster without taking part in it: scaling events, demand and usage go into a trace."""
    from orchestrator.inputs.prices import read_prices
    from orchestrator.metrics.discovery import targets_of
    from orchestrator.metrics.exporter import Exporter
    from orchestrator.model.events import Event, NodeEvent, NoteEvent
    from orchestrator.observer.node_tracker import describe_by
    from orchestrator.observer.observer import Observer
    from orchestrator.trace.file import TraceWriter

    seconds = parse_duration("--for", for_)
    metrics.check_port(metrics_port)
    if monitor_log is not None and not monitor_log.is_file():
        raise InputError(f"--monitor-log: {monitor_log} is no file")
    common: Home = context.obj
    found = find_address(common, address)
    view, _ = open_view(found)
    path = trace or common.root / "observed" / f"{time.strftime('%Y%m%d-%H%M%S')}.jsonl"
    out = console()

    def show(event: Event) -> None:
        when = time.strftime("%H:%M:%S", time.localtime(event.t))
        if isinstance(event, NodeEvent):
            cause = f" ({event.cause})" if event.cause else ""
            out.print(f"{when} {event.node_type} {event.arch} {event.node[:12]} {event.state}{cause}")
        elif isinstance(event, NoteEvent):
            out.print(f"{when} {event.text}")

    shape = shape_of_file(cluster)
    observer = Observer(view, describe_by(shape), monitor_log=monitor_log, interval_s=interval)
    exporter = Exporter("observed", prices=read_prices(prices), observer=lambda: observer)
    exporter.watch(path.stem, shape)
    console(stderr=True).print(f"observing {found}, trace in {path}; Ctrl-C ends it")
    try:
        writer = TraceWriter(path, context={"observed": found}, sinks=[show, exporter.event])
    except OSError as error:
        raise InputError(f"--trace: {path} can't be written: {error.strerror}") from None
    with writer, metrics.serving(exporter, lambda: targets_of(observer), metrics_port, console(stderr=True)):
        observer.attach(writer.emit)
        observer.start()
        try:
            deadline = time.monotonic() + seconds if seconds is not None else float("inf")
            while (left := deadline - time.monotonic()) > 0:
                time.sleep(min(left, _SLICE_S))
                if observer.failure is not None:
                    raise OrchestrateError(f"the observer failed: {observer.failure}")
        except KeyboardInterrupt:
            pass  # the way to end it
        finally:
            observer.stop()
