"""`orchestrate push`: recorded or simulated trials in Prometheus, and so in Grafana."""

from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.cli.context import Context, console
from orchestrator.errors import InputError

if TYPE_CHECKING:
    from orchestrator.observer.trace import Trace
    from orchestrator.sweep.ledger import SweepRecord

EXAMPLES = """Examples:

  orchestrate push

  orchestrate push 3f2a90c1 77e1 --to http://127.0.0.1:9090

  orchestrate push 3f2a90c1/5bd0 --end-now
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
    end_now: Annotated[
        bool,
        typer.Option("--end-now", help="Move real trials too, so that the last ends now; simulated ones always are."),
    ] = False,
) -> None:
    """Write trials into Prometheus as if they had been scraped while they ran; simulated ones as if they ended now."""
    import time

    from orchestrator.bundle import bundled
    from orchestrator.sweep.push import laid_out, push, samples_of
    from orchestrator.sweep.runner import prices_of

    if not to.startswith(("http://", "https://")):
        raise InputError(f"--to: {to!r} is no URL", "for example --to http://127.0.0.1:9090")
    common: Context = context.obj
    with console(stderr=True).status("reading traces…") as status:
        found = _recorded(common, wanted or ["@last"])
        records = {record.sweep_id: record for record, _ in found}
        moving = [end_now or record.backend == "simulated" for record, _ in found]
        moved = iter(
            laid_out([trace for (_, trace), moves in zip(found, moving, strict=True) if moves], now=time.time())
        )
        shown = [next(moved) if moves else trace for (_, trace), moves in zip(found, moving, strict=True)]
        samples = {}
        for sweep_id, record in records.items():
            own = [trace for (of, _), trace in zip(found, shown, strict=True) if of.sweep_id == sweep_id]
            samples.update(samples_of(sweep_id, own, prices_of(record)))
        rules = bundled("prometheus/rules/recording.yml")
        written = push(to, samples, rules, lambda name: status.update(f"recording {name}…"))
        _remember(common, found, shown)
    times = [event.t for trace in shown for event in (trace.events[0], trace.events[-1])]
    when = [time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(t)) for t in (min(times), max(times))]
    trials = f"{len(shown)} trial{'' if len(shown) == 1 else 's'}"
    console().print(f"{written} samples of {trials} written to {to}; they stand at {when[0]} to {when[1]}")


def _recorded(common: Context, wanted: list[str]) -> "list[tuple[SweepRecord, Trace]]":
    """The traces that have events, each once, with their sweeps."""
    from orchestrator.observer.trace import read_trace

    ledger, found = common.ledger(), {}
    for each in wanted:
        record, _ = ledger.find(each)
        for path in common.trace_files(each):
            trace = read_trace(path)
            if trace.trial is not None and trace.events:
                found[path] = record, trace
    if not found:
        raise InputError("nothing was recorded there yet", "see what there is: orchestrate list")
    return list(found.values())


def _remember(common: Context, found: "list[tuple[SweepRecord, Trace]]", shown: "list[Trace]") -> None:
    """Write down where trials stand in Prometheus, for the boards that compare them."""
    from orchestrator.sweep.push import Placement

    for sweep_id in {record.sweep_id for record, _ in found}:
        earlier = Placement.read(common.home, sweep_id).moved_by
        now = {
            trace.trial.trial_id: moved.events[0].t - trace.events[0].t
            for (record, trace), moved in zip(found, shown, strict=True)
            if record.sweep_id == sweep_id and trace.trial is not None
        }
        Placement({**earlier, **now}).write(common.home, sweep_id)
