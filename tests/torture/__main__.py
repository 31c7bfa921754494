"""`make torture`: strike the command in each way; print what was tried and what went wrong."""

import sys
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from tests.torture import clocks, deaths, inputs, points, soak
from tests.torture.commands import can_trace, preload
from tests.torture.figures import Figures

EVERY = ("points", "clocks", "inputs", "soak", "deaths")


def torture(
    what: Annotated[list[str] | None, typer.Argument(help=f"Some of {', '.join(EVERY)}; default: all.")] = None,
    point_count: Annotated[int, typer.Option("--points", help="Points at which a simulated sweep is killed.")] = 200,
    input_count: Annotated[int, typer.Option("--inputs", help="Bad inputs.")] = 20_000,
    trials: Annotated[
        int, typer.Option(help="Simulated trials of the soak; there are a fifth as many local ones.")
    ] = 100,
    kills: Annotated[int, typer.Option(help="Kills of real sweeps.")] = 10,
    seed: Annotated[int, typer.Option(help="Seed of points and inputs.")] = 0,
) -> None:
    """Kill, starve and mislead the command; complaints are printed last, each with the point where it arose."""
    wanted = what or list(EVERY)
    figures = Figures()
    folder = Path(tempfile.mkdtemp(prefix="orchestrate-torture-"))

    def progress(line: str) -> None:
        print(f"\r\033[K{line}", end="" if sys.stderr.isatty() else "\n", file=sys.stderr, flush=True)

    if {"points", "inputs"} & set(wanted):
        preload()
    if "points" in wanted:
        if not can_trace():
            raise SystemExit("strace is missing (Debian: apt install strace)")
        points.strike_all(folder / "points", figures, point_count, seed, progress)
    if "clocks" in wanted:
        clocks.step_all(folder / "clocks", figures, progress)
    if "inputs" in wanted:
        (folder / "inputs").mkdir()
        inputs.try_all(folder / "inputs", figures, input_count, seed, progress)
    if "soak" in wanted:
        (folder / "soak").mkdir()
        soak.soak(folder / "soak", figures, "simulated trials", *soak.simulated(trials), progress=progress)
        soak.soak(folder / "soak", figures, "local trials", *soak.local(max(1, trials // 5)), progress=progress)
    if "deaths" in wanted:
        (folder / "deaths").mkdir()
        deaths.kill_parts(folder / "deaths", figures, progress, kills)
    print(figures.table())
    if figures.complaints:
        print(f"inputs and homes are kept in {folder}", file=sys.stderr)
    raise SystemExit(1 if figures.complaints else 0)


if __name__ == "__main__":
    typer.run(torture)
