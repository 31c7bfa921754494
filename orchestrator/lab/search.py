"""Searches the settings for the lowest objective in the simulator. Nothing is written into the ledger."""

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.errors import InputError
from orchestrator.lab.home import Home
from orchestrator.lab.overrides import SpecOverrides, spec_document
from orchestrator.lab.parallel import Parallel
from orchestrator.lab.planning import plan_sweep
from orchestrator.lab.progress import Reporter

if TYPE_CHECKING:
    from orchestrator.analysis.sweep.objective import Objective
    from orchestrator.inputs.cluster_config import ClusterFile
    from orchestrator.model.settings import Settings
    from orchestrator.optimiser.optimise import Optimum
    from orchestrator.optimiser.space import Space
    from orchestrator.sweeps.plan import Plan

DEFAULT_CANDIDATES = 64
DEFAULT_REPEAT = 3
MAX_CANDIDATES = 10_000


@dataclass(frozen=True)
class Found:
    """The result of a search, the seeds under which each setting was tried, and the plan."""

    optimum: "Optimum"
    seeds: range
    plan: "Plan"


def parse_objective(text: str, name: str = "--optimise") -> "Objective":
    """Return the objective that an expression stands for. Raises InputError that names the argument."""
    from orchestrator.analysis.sweep.objective import Objective

    try:
        return Objective.parse(text)
    except ValueError as error:
        raise InputError(f"{name}: {error}", f"for example {name} 'makespan_s + 100*cost_usd'") from None


def check_candidates(count: int, name: str = "--candidates") -> None:
    """Raise InputError that names the argument for a number of candidates that can't be tried."""
    if not 1 <= count <= MAX_CANDIDATES:
        raise InputError(f"{name}: {count} isn't between 1 and {MAX_CANDIDATES}")


def search_settings(
    home: Home,
    spec_file: Path | None,
    overrides: SpecOverrides,
    objective: "Objective",
    reporter: Reporter,
    *,
    candidates: int,
    engine: Parallel,
    boot_from: Sequence[str] = (),
) -> Found:
    """Try settings of the spec's space and return the best, the reference and the trade-off. Raises InputError."""
    from orchestrator.backends import registry
    from orchestrator.inputs.sweep_spec import read_spec
    from orchestrator.optimiser.candidates import Candidates
    from orchestrator.optimiser.optimise import optimise
    from orchestrator.optimiser.space import Space

    space = Space.of(read_spec(spec_file, spec_document(overrides), registry.names()).settings)
    plan, cluster = plan_sweep(home, spec_file, overrides, boot_from)
    against = _against(plan, objective)
    repeat = plan.spec.repeat if "repeat" in plan.spec.model_fields_set else DEFAULT_REPEAT
    engine = engine.ready(home)
    tried = Candidates(plan, repeat, expected=candidates * repeat, start_executor=engine.starter(), lazy=engine.lazy)
    with reporter.searching(candidates) as tell, closing(tried):
        optimum = optimise(
            space,
            _reference(space, cluster),
            objective,
            tried,
            candidates=candidates,
            seed=plan.spec.seed,
            against=against,
            tell=tell,
        )
    return Found(optimum, range(plan.spec.seed, plan.spec.seed + repeat), plan)


def _against(plan: "Plan", objective: "Objective") -> str:
    """Return the price of speed: dollars, or node-seconds where a price is missing. Raises InputError."""
    unpriced = sorted(
        worker.instance_type or worker.name
        for worker in plan.shape.launchable
        if plan.prices.of_node(worker.name, worker.instance_type) is None
    )
    if not unpriced:
        return "cost_usd"
    if "cost_usd" in objective.names:
        raise InputError(
            f"--optimise: no cost is known, as there is no price for {', '.join(unpriced)}",
            "give it with --prices FILE (docs/prices.md), or optimise node_seconds",
        )
    return "node_seconds"


def _reference(space: "Space", cluster: "ClusterFile") -> "Settings":
    """Return the settings that the user has now.

    Values come from the cluster file, then from Ray's defaults. Settings that no cluster file has are as held fixed.
    """
    from orchestrator.model.settings import Settings, monitor_settings
    from orchestrator.sweeps.plan import idle_timeout_of

    return Settings.model_validate(
        {
            "autoscaler": "v2" if "v2" in space.autoscalers else "v1",
            "upscaling_speed": cluster.upscaling_speed,
            "idle_timeout_minutes": idle_timeout_of(cluster),
            **{name: value for name, value in space.fixed.items() if name in monitor_settings()},
        }
    )
