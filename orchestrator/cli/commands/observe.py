"""`orchestrate observe`: watch any running Ray cluster and write a trace."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.cli.completion import complete_prices
from orchestrator.cli.console import console, reporter
from orchestrator.cli.help import option
from orchestrator.cli.options import GcsAddress, MetricsHost, MetricsPort, MetricsTokenFile, NodeTypesFile
from orchestrator.cli.parsing import parse_duration
from orchestrator.lab import metrics
from orchestrator.lab.observe import DEFAULT_TRACE_MB, Observation, observe_cluster
from orchestrator.lab.scrape_config import scrape_config

if TYPE_CHECKING:
    from orchestrator.model.events import Event

EXAMPLES = """Examples:

  orchestrate observe --address 127.0.0.1:6379

  orchestrate observe --address 10.0.0.5:6379 --cluster cluster.yaml --for 30m --trace today.jsonl

  orchestrate observe --address 127.0.0.1:6379 --monitor-log /tmp/ray/session_latest/logs/monitor.log

  orchestrate observe --address 10.0.0.5:6379 --name prod --metrics-host 0.0.0.0

  orchestrate observe --metrics-host 0.0.0.0 --print-scrape-config
"""


def observe(
    context: typer.Context,
    address: GcsAddress = None,
    trace: Annotated[
        Path | None,
        option(metavar="FILE", help="File for the trace.  [default: observed/TIME.jsonl under the home]"),
    ] = None,
    cluster: NodeTypesFile = None,
    monitor_log: Annotated[
        Path | None,
        option(metavar="FILE", help="Ray's monitor.log, if it is on this machine: adds the stages of a launch."),
    ] = None,
    prices: Annotated[
        str,
        option(metavar="REGION|FILE", help="Prices of nodes, as for sweep.", autocompletion=complete_prices),
    ] = "us-east-1",
    max_trace_size: Annotated[
        float,
        option(min=1, metavar="MB", help="Megabytes after which nothing more is recorded; metrics go on."),
    ] = DEFAULT_TRACE_MB,
    interval: Annotated[float, option(min=0.05, max=60, help="Seconds between two polls.")] = 0.5,
    metrics_port: MetricsPort = None,
    metrics_host: MetricsHost = None,
    metrics_token_file: MetricsTokenFile = None,
    name: Annotated[
        str | None,
        option(
            metavar="NAME",
            help="Name of the cluster in metrics: with the same one, its series go on after a restart."
            "  [default: its address]",
        ),
    ] = None,
    print_scrape_config: Annotated[
        bool, option("--print-scrape-config", help="Print what a Prometheus elsewhere needs to scrape this, and stop.")
    ] = False,
    for_: Annotated[
        str | None,
        option("--for", metavar="DURATION", help="How long to observe, such as 30m.  [default: until Ctrl-C]"),
    ] = None,
) -> None:
    """Watch a Ray cluster without taking part in it: its nodes, demand, tasks and actors go into a trace."""
    access = metrics.access(metrics_host, metrics_token_file)
    if print_scrape_config:
        console().print(scrape_config(metrics_port, access), end="", soft_wrap=True, markup=False, highlight=False)
        return
    wanted = Observation(
        address=address,
        trace=trace,
        cluster=cluster,
        monitor_log=monitor_log,
        prices=prices,
        interval_s=interval,
        metrics_port=metrics_port,
        metrics_access=access,
        name=name,
        seconds=parse_duration("--for", for_),
        trace_mb=max_trace_size,
    )
    observed = observe_cluster(context.obj, wanted, _print_event, reporter())
    from orchestrator.report.terminal.observation import observation_lines

    for line in observation_lines(observed):
        console().print(line, soft_wrap=True)


def _print_event(event: "Event") -> None:
    from orchestrator.model.events import NodeEvent, NoteEvent

    when = time.strftime("%H:%M:%S", time.localtime(event.t))
    if isinstance(event, NodeEvent):
        cause = f" ({event.cause})" if event.cause else ""
        console().print(f"{when} {event.node_type} {event.arch} {event.node[:12]} {event.state}{cause}")
    elif isinstance(event, NoteEvent):
        console().print(f"{when} {event.text}")
