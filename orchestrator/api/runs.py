"""`simulate`, `sweep` and `search`: the commands of the same names, as functions."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, Unpack, cast

from orchestrator.api.results import Sweep
from orchestrator.api.search_result import SearchResult
from orchestrator.backends import registry
from orchestrator.backends.registry import SIMULATED
from orchestrator.errors import InputError
from orchestrator.lab.cost import Consent
from orchestrator.lab.home import Home, find_home
from orchestrator.lab.overrides import SpecOverrides
from orchestrator.lab.parallel import Parallel, automatic, parse_parallel
from orchestrator.lab.planning import plan_sweep
from orchestrator.lab.progress import Reporter, SilentReporter
from orchestrator.lab.run import Execution, begin
from orchestrator.lab.search import DEFAULT_CANDIDATES, check_candidates, parse_objective, search_settings

Parallelism = int | Literal["auto", "ray"] | None


def simulate(
    *,
    spec: str | Path | None = None,
    boot_from: str | Sequence[str] = (),
    parallel: Parallelism = None,
    address: str | None = None,
    home: str | Path | None = None,
    ledger: str | None = None,
    progress: bool = True,
    **overrides: Unpack[SpecOverrides],
) -> Sweep:
    """Run a sweep in virtual time and return it, as `orchestrate simulate` does.

    Keyword arguments have the names of a sweep spec's keys and override those of the file `spec`; a setting takes one
    value or several: `simulate(upscaling_speed=[1, 10], tasks=64, repeat=3)`. `boot_from` takes latencies from recorded
    sweeps, trials or traces. `home` and `ledger` are as for `load`. `progress=False` shows nothing.

    `parallel` is a number of processes, "auto", or "ray" for the Ray cluster at `address`. The default is "auto" in a
    notebook or a shell, and 1 in a script: a script that uses processes needs `if __name__ == "__main__":`.

    A trial that fails doesn't raise: the sweep's status says so. Raises InputError and MissingPrerequisite.
    """
    if (backend := overrides.get("backend")) not in (None, SIMULATED.name):
        raise InputError(f"simulate runs on the simulated backend, not on {backend}", "use orchestrator.sweep")
    simulated: SpecOverrides = {**overrides, "backend": SIMULATED.name}
    execution = Execution(engine=_engine(parallel, address))
    return _run(find_home(home, ledger), spec, simulated, boot_from, execution, _reporter(progress))


def sweep(
    *,
    spec: str | Path | None = None,
    boot_from: str | Sequence[str] = (),
    parallel: Parallelism = None,
    address: str | None = None,
    metrics_port: int | None = None,
    yes: bool = False,
    max_cost: float | None = None,
    home: str | Path | None = None,
    ledger: str | None = None,
    progress: bool = True,
    **overrides: Unpack[SpecOverrides],
) -> Sweep:
    """Run a sweep on a real cluster, by default on this machine, and return it, as `orchestrate sweep` does.

    See `simulate` for the arguments. `metrics_port` is where metrics are served meanwhile; 0 serves none. A backend
    whose machines cost money needs `yes`, or `max_cost` in dollars.
    """
    given = parallel is not None or address is not None
    engine = _engine(parallel, address) if given else None
    consent = Consent(yes=yes, max_usd=max_cost)
    execution = Execution(engine=engine, metrics_port=metrics_port, consent=consent)
    return _run(find_home(home, ledger), spec, overrides, boot_from, execution, _reporter(progress))


def search(
    objective: str = "makespan",
    *,
    candidates: int = DEFAULT_CANDIDATES,
    spec: str | Path | None = None,
    boot_from: str | Sequence[str] = (),
    parallel: Parallelism = None,
    address: str | None = None,
    home: str | Path | None = None,
    ledger: str | None = None,
    progress: bool = True,
    **overrides: Unpack[SpecOverrides],
) -> SearchResult:
    """Search the settings for the lowest objective, as `orchestrate simulate --optimise` does.

    The objective is arithmetic over the numbers of a summary, such as "makespan_s + 100*cost_usd". Several values of a
    setting are its bounds. The search is stored as an optuna study in
    `searches.db` of the home. See `simulate` for the other arguments.
    """
    if (backend := overrides.get("backend")) not in (None, SIMULATED.name):
        raise InputError(f"search runs on the simulated backend, not on {backend}", "leave backend out")
    check_candidates(candidates, "candidates")
    found = search_settings(
        find_home(home, ledger),
        _path(spec),
        {**overrides, "backend": SIMULATED.name},
        parse_objective(objective, "objective"),
        _reporter(progress),
        candidates=candidates,
        engine=_engine(parallel, address),
        boot_from=_listed(boot_from),
    )
    return SearchResult(found)


def _run(
    home: Home,
    spec: str | Path | None,
    overrides: SpecOverrides,
    boot_from: str | Sequence[str],
    execution: Execution,
    reporter: Reporter,
) -> Sweep:
    plan, cluster = plan_sweep(home, _path(spec), overrides, _listed(boot_from))
    if not registry.kind(plan.spec.backend).real_time and execution.engine is None:
        execution = Execution(engine=_engine(None, None), metrics_port=execution.metrics_port)
    record = begin(home, plan, cluster, execution.ready(home, plan.spec), reporter)
    return Sweep(record, record.trials)


def _engine(parallel: Parallelism, address: str | None) -> Parallel:
    if parallel is None and address is None:
        # A worker process imports the main script again: without a guard, it would run the sweep once more.
        in_script = hasattr(sys.modules.get("__main__"), "__file__")
        return Parallel(1) if in_script else automatic()
    return cast(Parallel, parse_parallel(None if parallel is None else str(parallel), address))


def _reporter(progress: bool) -> Reporter:
    if not progress:
        return SilentReporter()
    from orchestrator.report.notebook.reporter import NotebookReporter, in_notebook

    if in_notebook():
        return NotebookReporter()
    from orchestrator.report.terminal.output import console
    from orchestrator.report.terminal.reporter import TerminalReporter

    return TerminalReporter(console(stderr=True))


def _path(spec: str | Path | None) -> Path | None:
    return None if spec is None else Path(spec)


def _listed(sources: str | Sequence[str]) -> Sequence[str]:
    return [sources] if isinstance(sources, str) else sources
