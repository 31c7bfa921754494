"""`orchestrate push`: recorded or simulated trials in Prometheus, and so in Grafana."""

from typing import Annotated

import typer

from orchestrator.cli.context import Context, console
from orchestrator.errors import InputError

EXAMPLES = """Examples:

  orchestrate push

  orchestrate push 3f2a90c1 --to http://127.0.0.1:9090

  orchestrate push 3f2a90c1/5bd0
"""


def push(
    context: typer.Context,
    wanted: Annotated[str, typer.Argument(metavar="ID", help="A sweep or trial, as in show.")] = "@last",
    to: Annotated[
        str, typer.Option(metavar="URL", help="A Prometheus that runs with --web.enable-remote-write-receiver.")
    ] = "http://127.0.0.1:9090",
) -> None:
    """Write trials into Prometheus as if they had been scraped while they ran; simulated ones as if they ended now."""
    import time

    from orchestrator.bundle import bundled
    from orchestrator.observer.trace import read_trace
    from orchestrator.sweep.push import Placement, laid_out, push, samples_of
    from orchestrator.sweep.runner import prices_of

    if not to.startswith(("http://", "https://")):
        raise InputError(f"--to: {to!r} is no URL", "for example --to http://127.0.0.1:9090")
    common: Context = context.obj
    record, _ = common.ledger().find(wanted)
    paths = common.trace_files(wanted)
    if not paths:
        raise InputError("nothing was recorded there yet", "see what there is: orchestrate list")
    with console(stderr=True).status("") as status:
        status.update(f"reading {len(paths)} trace{'' if len(paths) == 1 else 's'}…")
        recorded = [trace for path in paths if (trace := read_trace(path)).trial is not None and trace.events]
        if not recorded:
            raise InputError("nothing was recorded there yet", "see what there is: orchestrate list")
        traces = laid_out(recorded, shift=record.backend == "simulated", now=time.time())
        samples = samples_of(record.sweep_id, traces, prices_of(record))
        rules = bundled("prometheus/rules/recording.yml")
        written = push(to, samples, rules, lambda name: status.update(f"recording {name}…"))
        Placement(
            {
                trace.trial.trial_id: moved.events[0].t - trace.events[0].t
                for trace, moved in zip(recorded, traces, strict=True)
                if trace.trial is not None
            }
        ).write(common.home, record.sweep_id)
    begin, end = traces[0].events[0].t, traces[-1].events[-1].t
    when = [time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(t)) for t in (begin, end)]
    console().print(f"{written} samples written to {to}; sweep {record.sweep_id} stands at {when[0]} to {when[1]}")
