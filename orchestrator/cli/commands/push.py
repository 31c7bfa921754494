"""`orchestrate push`: recorded or simulated trials in Prometheus, and so in Grafana."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.cli.console import console
from orchestrator.errors import InputError
from orchestrator.lab.home import Home

if TYPE_CHECKING:
    from orchestrator.prometheus.placement import Key, RecordedTrial
    from orchestrator.sweep.ledger import SweepRecord

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
        typer.Argument(metavar="[ID]...", help="Sweeps or trials, as in show.  [default: @last]", show_default=False),
    ] = None,
    to: Annotated[
        str, typer.Option(metavar="URL", help="A Prometheus that runs with --web.enable-remote-write-receiver.")
    ] = "http://127.0.0.1:9090",
    credentials_file: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="File that holds user:password, or a bearer token.  [default: the variable"
            " ORCHESTRATE_PROMETHEUS_CREDENTIALS, if it is set]",
            show_default=False,
        ),
    ] = None,
    end_now: Annotated[
        bool,
        typer.Option(
            "--end-now",
            help="Move all trials, so that the last ends now; else real ones keep their times, and those that were"
            " pushed before stay where they are.",
        ),
    ] = False,
) -> None:
    """Write trials into Prometheus as if they had been scraped while they ran; simulated ones as if they ended now.

    Trials that Prometheus scraped are left out. Pushing again does no harm, and mends a push that broke off.
    """
    import time

    from orchestrator.assets import bundled
    from orchestrator.grafana.client import parse_address, travels_openly
    from orchestrator.prometheus.backfill import planned, push
    from orchestrator.prometheus.client import HOW_TO_CREDENTIALS, Prometheus, take_credentials
    from orchestrator.prometheus.placement import Placement
    from orchestrator.prometheus.recording_rules import recording_rules
    from orchestrator.sweep.runner import prices_of

    address = parse_address(to, "--to", "https://prometheus.example.com", HOW_TO_CREDENTIALS)
    credentials = take_credentials(credentials_file)
    if credentials and travels_openly(address):
        console(stderr=True).print(f"note: the credentials go to {address} without encryption", soft_wrap=True)
    prometheus, common, out = Prometheus(address, credentials), context.obj, console()
    with console(stderr=True).status("reading traces…") as status:
        records, trials = _recorded(common, wanted or ["@last"], status.update)
        earlier: dict[Key, float] = {
            (sweep_id, trial_id): by
            for sweep_id in records
            for trial_id, by in Placement.read(common.root, sweep_id).moved_by.items()
        }
        plan = planned(prometheus, trials, earlier, end_now=end_now, now=time.time())
        # Before the first sample: a push that breaks off is taken up again at the same place.
        for sweep_id in {trial.sweep_id for trial, _ in plan.placed}:
            by_trial = {trial.trial_id: by for trial, by in plan.placed if trial.sweep_id == sweep_id}
            Placement(by_trial).write(common.root, sweep_id)
        prices = {sweep_id: prices_of(record) for sweep_id, record in records.items()}
        rules, written = recording_rules(bundled("prometheus/rules/recording.yml")), 0
        status.update(f"writing trial 1 of {len(plan.placed)}…")
        for number, samples in enumerate(push(prometheus, plan, prices, rules), start=2):
            written += samples
            status.update(f"writing trial {min(number, len(plan.placed))} of {len(plan.placed)}…")
    if plan.scraped:
        names = ", ".join(trial.trial_id for trial in plan.scraped)
        out.print(
            f"{_count(plan.scraped)} left out, since this Prometheus has scraped them and shows them already: {names}",
            soft_wrap=True,
        )
    if plan.placed:
        windows = [trial.window(by) for trial, by in plan.placed]
        times = min(begin for begin, _ in windows), max(end for _, end in windows)
        begin, end = (time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(t)) for t in times)
        out.print(
            f"{written} samples of {_count(plan.placed)} written to {address}; they stand at {begin} to {end}",
            soft_wrap=True,
        )


def _count(trials: Sequence[object]) -> str:
    return f"{len(trials)} trial{'' if len(trials) == 1 else 's'}"


def _recorded(
    common: Home, wanted: Sequence[str], told: Callable[[str], None]
) -> "tuple[dict[str, SweepRecord], list[RecordedTrial]]":
    """The trials that have ended and recorded something, each once, and their sweeps by id."""
    from orchestrator.prometheus.placement import RecordedTrial
    from orchestrator.sweep.runner import still_runs
    from orchestrator.trace.file import read_trace

    ledger = common.ledger()
    records, chosen = {}, {}
    for each in wanted:
        sweep, trial = ledger.find(each)
        records[sweep.sweep_id] = sweep
        for record in sweep.trials if trial is None else (trial,):
            running = record.status == "running" and still_runs(sweep.environment.get("process") or {})
            if record.trace and not running:
                chosen[sweep.sweep_id, record.trial.trial_id] = record
    found = []
    for number, (key, record) in enumerate(chosen.items(), start=1):
        told(f"reading trace {number} of {len(chosen)}…")
        if events := read_trace(Path(record.trace)).events:
            simulated = record.trial.backend == "simulated"
            found.append(RecordedTrial(*key, Path(record.trace), events[0].t, events[-1].t, simulated))
    if not found:
        raise InputError("no trial has ended there yet", "see what there is: orchestrate list")
    return records, found
