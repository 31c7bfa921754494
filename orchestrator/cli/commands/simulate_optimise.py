"""`orchestrate simulate --optimise`: the best settings instead of a sweep; nothing is written into the ledger."""

from collections.abc import Mapping
from contextlib import closing
from typing import TYPE_CHECKING, Any

from orchestrator.cli.console import check_json_target, console, write_json
from orchestrator.errors import InputError
from orchestrator.lab.home import Home
from orchestrator.lab.parallel import automatic, parse_parallel
from orchestrator.lab.planning import plan_sweep, spec_flags

if TYPE_CHECKING:
    from orchestrator.analysis.sweep.objective import Objective
    from orchestrator.inputs.cluster_config import ClusterFile
    from orchestrator.model.settings import Settings
    from orchestrator.search.space import Space
    from orchestrator.sweep.plan import Plan

DEFAULT_CANDIDATES = 64
DEFAULT_REPEAT = 3
_MAX_CANDIDATES = 10_000

# What belongs to a sweep that is written down.
_SWEEPS_OWN = ("resume", "dry_run", "name", "order")


def optimise_settings(expression: str, candidates: int | None, given: Mapping[str, Any]) -> int:
    """Search, and print what was found; `given` are the options of `sweep`, by their names there."""
    for name in _SWEEPS_OWN:
        if given[name]:
            raise InputError(
                f"--optimise has no --{name.replace('_', '-')}", "it records no sweep; leave one of them out"
            )
    count = DEFAULT_CANDIDATES if candidates is None else candidates
    if not 1 <= count <= _MAX_CANDIDATES:
        raise InputError(f"--candidates: {count} isn't between 1 and {_MAX_CANDIDATES}")
    common: Home = given["context"].obj
    if (json_file := given["json_file"]) is not None:
        check_json_target(json_file)
    engine = parse_parallel(given["parallel"], given["address"]) or automatic()
    objective = _objective(expression)
    flags = spec_flags(given)
    from orchestrator.inputs.sweep_spec import read_spec
    from orchestrator.report.terminal.optimum import SearchView, optimum_document, optimum_table
    from orchestrator.search.candidates import Candidates
    from orchestrator.search.optimise import optimise
    from orchestrator.search.space import Space

    space = Space.of(read_spec(given["spec"], flags).settings)
    plan, cluster = plan_sweep(common, given["spec"], flags, given["boot_from"] or [])
    against = _against(plan, objective)
    repeat = plan.spec.repeat if "repeat" in plan.spec.model_fields_set else DEFAULT_REPEAT
    engine = engine.ready(common)
    tried = Candidates(plan, repeat, expected=count * repeat, start_executor=engine.starter(), lazy=engine.lazy)
    with SearchView(console(stderr=True), count) as view, closing(tried):
        optimum = optimise(
            space,
            _reference(space, cluster),
            objective,
            tried,
            candidates=count,
            seed=plan.spec.seed,
            against=against,
            tell=view.tell,
        )
    seeds = range(plan.spec.seed, plan.spec.seed + repeat)
    out = console(stderr=json_file == "-")
    out.print(optimum_table(optimum, seeds, plan.notes))
    if json_file is not None:
        write_json(json_file, optimum_document(optimum, seeds).model_dump(mode="json"))
    return 0


def _objective(expression: str) -> "Objective":
    from orchestrator.analysis.sweep.objective import Objective

    try:
        return Objective.parse(expression)
    except ValueError as error:
        raise InputError(f"--optimise: {error}", "for example --optimise 'makespan_s + 100*cost_usd'") from None


def _against(plan: "Plan", objective: "Objective") -> str:
    """What a faster cluster is paid with: dollars, or node-seconds where a price is missing. Raises InputError."""
    types = {worker.instance_type or worker.name for worker in plan.shape.workers}
    unpriced = sorted(each for each in types if not plan.prices.of(each))
    if not unpriced:
        return "cost_usd"
    if "cost_usd" in objective.names:
        raise InputError(
            f"--optimise: no cost is known, as {plan.spec.prices} has no price for {', '.join(unpriced)}",
            "give it with --prices FILE (docs/prices.md), or optimise node_seconds",
        )
    return "node_seconds"


def _reference(space: "Space", cluster: "ClusterFile") -> "Settings":
    """What the user has now: what the cluster file says, else Ray's defaults; what no such file says, as held fixed."""
    from orchestrator.model.settings import Settings
    from orchestrator.sweep.plan import RAYS_IDLE_TIMEOUT_MINUTES

    of_the_monitor = ("max_concurrent_launches", "max_launch_batch", "update_interval_s")
    return Settings.model_validate(
        {
            "autoscaler": "v2" if "v2" in space.autoscalers else "v1",
            "upscaling_speed": cluster.upscaling_speed,
            "idle_timeout_minutes": cluster.idle_timeout_minutes or RAYS_IDLE_TIMEOUT_MINUTES,
            **{name: value for name, value in space.fixed.items() if name in of_the_monitor},
        }
    )
