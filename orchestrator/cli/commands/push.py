"""`orchestrate push`: recorded or simulated trials in Prometheus, and so in Grafana."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from orchestrator.cli.completion import complete_sweep_or_trial
from orchestrator.cli.console import console, reporter
from orchestrator.cli.help import option
from orchestrator.lab.push import push_trials
from orchestrator.lab.stack import url_of_stack

EXAMPLES = """Examples:

  orchestrate push

  orchestrate push 3f2a90c1 77e1 --to http://127.0.0.1:9090

  orchestrate push 3f2a90c1/5bd0 --end-now

  ORCHESTRATE_PROMETHEUS_CREDENTIALS=… orchestrate push --to https://prometheus.example.com
"""


def push(
    context: typer.Context,
    wanted: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[ID]...",
            help="Sweeps or trials, as in show.  [default: @last]",
            show_default=False,
            autocompletion=complete_sweep_or_trial,
        ),
    ] = None,
    to: Annotated[
        str | None,
        option(
            metavar="URL",
            help="A Prometheus that runs with --web.enable-remote-write-receiver."
            "  [default: that of the stack, else http://127.0.0.1:9090]",
        ),
    ] = None,
    credentials_file: Annotated[
        Path | None,
        option(
            metavar="FILE",
            help="File that holds user:password, or a bearer token.  [default: the variable"
            " ORCHESTRATE_PROMETHEUS_CREDENTIALS, if it is set]",
            show_default=False,
        ),
    ] = None,
    end_now: Annotated[
        bool,
        option(
            "--end-now",
            help="Move all trials, so that the last ends now; else real ones keep their times, and those that were"
            " pushed before stay where they are.",
        ),
    ] = False,
) -> None:
    """Write trials into Prometheus as if they had been scraped while they ran; simulated ones as if they ended now.

    Trials that Prometheus scraped are left out. Pushing again does no harm, and completes an interrupted push.
    """
    from orchestrator.prometheus.client import HOW_TO_CREDENTIALS, Prometheus, take_credentials
    from orchestrator.remote_api import parse_address, travels_openly

    if to is None:
        to = url_of_stack(context.obj.root, "prometheus") or "http://127.0.0.1:9090"
    address = parse_address(to, "--to", "https://prometheus.example.com", HOW_TO_CREDENTIALS)
    credentials = take_credentials(credentials_file)
    if credentials and travels_openly(address):
        reporter().say(f"note: the credentials go to {address} without encryption")
    prometheus, out = Prometheus(address, credentials), console()
    pushed = push_trials(context.obj, wanted or ["@last"], prometheus, reporter(), end_now=end_now)
    if pushed.scraped:
        names = ", ".join(trial.trial_id for trial in pushed.scraped)
        why = "since this Prometheus has scraped them and shows them already"
        out.print(
            f"{_count(pushed.scraped)} left out, {why}: {names}",
            soft_wrap=True,
        )
    if pushed.times is not None:
        begin, end = (time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(t)) for t in pushed.times)
        out.print(
            f"{pushed.samples} samples of {_count(pushed.written)} written to {address}; timestamps {begin} to {end}",
            soft_wrap=True,
        )


def _count(trials: Sequence[object]) -> str:
    return f"{len(trials)} trial{'' if len(trials) == 1 else 's'}"
