"""Completion of values in the shell. A completer never fails: without an answer it offers nothing."""

import csv
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from orchestrator.backends import registry
from orchestrator.lab.home import Home

if TYPE_CHECKING:
    from orchestrator.sweeps.ledger import SweepRecord

Completion = list[tuple[str, str]]


def offering(*values: str) -> Callable[[str], list[str]]:
    """Return a completer that offers these values."""

    def complete(incomplete: str) -> list[str]:
        return [value for value in values if value.startswith(incomplete)]

    return complete


def complete_backend(incomplete: str) -> list[str]:
    """Offer the names of the backends, with those of installed packages."""
    with suppress(Exception):  # not logged: completion must not print
        return [name for name in registry.names() if name.startswith(incomplete)]
    return []


def complete_objective(incomplete: str) -> list[str]:
    """Offer the names of a summary's numbers, for the last word of an expression."""
    from orchestrator.analysis.sweep.objective import names
    from orchestrator.model.quantities import aliases

    head = incomplete.rstrip("abcdefghijklmnopqrstuvwxyz_0123456789")
    return [head + name for name in (*aliases(), *names()) if name.startswith(incomplete[len(head) :])]


def complete_profile(incomplete: str) -> list[str]:
    """Return the launch profiles that begin so."""
    from orchestrator.inputs.launch_profiles import profile_names

    return [name for name in profile_names() if name.startswith(incomplete)]


def complete_prices(incomplete: str) -> list[str]:
    """Offer the regions of the price catalogue."""
    from orchestrator.inputs import prices

    # not logged: a completion prints nothing but its words.
    with suppress(OSError), Path(prices.__file__).with_name("ec2_on_demand.csv").open(encoding="utf-8") as file:
        regions = sorted({row["region"] for row in csv.DictReader(file)})
        return [region for region in regions if region.startswith(incomplete)]
    return []


def complete_sweep(context: typer.Context, incomplete: str) -> Completion:
    """Offer `@last` and the ids of sweeps."""
    offered = [("@last", "the newest sweep"), *((each.sweep_id, _described(each)) for each in _sweeps(context))]
    return [(value, text) for value, text in offered if value.startswith(incomplete)]


def complete_sweep_or_trial(context: typer.Context, incomplete: str) -> Completion:
    """Offer `@last` and the ids of sweeps; after `SWEEP/` the ids of its trials."""
    wanted, slash, _ = incomplete.partition("/")
    if not slash:
        return complete_sweep(context, incomplete)
    return [
        (f"{wanted}/{each.trial.trial_id}", each.trial.label())
        for sweep in _sweeps(context)
        if sweep.sweep_id.startswith(wanted)
        for each in sweep.trials
        if f"{wanted}/{each.trial.trial_id}".startswith(incomplete)
    ]


def _sweeps(context: typer.Context) -> "Iterator[SweepRecord]":
    # not logged: a traceback would appear in the middle of the user's command line.
    with suppress(Exception):
        given = context.find_root().params
        home = Home(Path(given["home"]).resolve(), given.get("ledger_url") or "")
        if home.ledger_url or (home.root / "ledger.db").is_file():
            yield from home.ledger().sweeps()


def _described(sweep: "SweepRecord") -> str:
    name = f"{sweep.name}, " if sweep.name else ""
    return f"{name}{sweep.backend}, {sweep.status}, {len(sweep.trials)} trials"
