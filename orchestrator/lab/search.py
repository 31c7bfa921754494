"""Searches the settings for the lowest objective in the simulator, and stores the search as an optuna study."""

import logging
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator.errors import InputError
from orchestrator.lab.home import Home
from orchestrator.lab.overrides import SpecOverrides, spec_document
from orchestrator.lab.parallel import Parallel
from orchestrator.lab.planning import plan_sweep
from orchestrator.lab.progress import Reporter
from orchestrator.lab.workload_from import WorkloadFrom
from orchestrator.version import __version__

if TYPE_CHECKING:
    from optuna import Study

    from orchestrator.analysis.sweep.objective import Objective
    from orchestrator.inputs.cluster_config import ClusterFile
    from orchestrator.model.settings import Settings
    from orchestrator.optimiser.optimise import Optimum
    from orchestrator.optimiser.space import Space
    from orchestrator.sweeps.plan import Plan

_log = logging.getLogger(__name__)

DEFAULT_CANDIDATES = 64
DEFAULT_REPEAT = 3
MAX_CANDIDATES = 10_000


@dataclass(frozen=True)
class Found:
    """The result of a search, the seeds under which each setting was tried, the plan, and the id of the search."""

    optimum: "Optimum"
    seeds: range
    plan: "Plan"
    search_id: str


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
    workload_from: WorkloadFrom | None = None,
) -> Found:
    """Try settings of the spec's space and return the best, the reference and the trade-off. Raises InputError."""
    from orchestrator.backends import registry
    from orchestrator.inputs.sweep_spec import read_spec
    from orchestrator.optimiser.candidates import Candidates
    from orchestrator.optimiser.optimise import optimise
    from orchestrator.optimiser.space import Space
    from orchestrator.sweeps.runner import new_sweep_id

    space = Space.of(read_spec(spec_file, spec_document(overrides), registry.names()).settings)
    plan, cluster = plan_sweep(home, spec_file, overrides, boot_from, workload_from)
    against = _against(plan, objective)
    repeat = plan.spec.repeat if "repeat" in plan.spec.model_fields_set else DEFAULT_REPEAT
    engine = engine.ready(home)
    plan, search_id = _with_assumption(plan, space), new_sweep_id()
    seeds = range(plan.spec.seed, plan.spec.seed + repeat)
    reference = _reference(space, cluster)

    def keep(study: "Study", found: "Optimum | None") -> None:
        if not any(trial.state.is_finished() for trial in study.get_trials(deepcopy=False)):
            return
        try:
            home.make()
            home.searches.add(study, search_id, _facts(plan, objective, against, reference, seeds, found))
        except InputError as error:  # the result is worth more than its record
            _log.warning("the search isn't stored", exc_info=True)
            reporter.say(f"warning: {error.message}")
            return
        reporter.say(
            f"search {search_id} is stored: orchestrate list; with plots (pip install optuna-dashboard): "
            f"optuna-dashboard {home.searches.url}"
        )

    tried = Candidates(plan, repeat, expected=candidates * repeat, start_executor=engine.starter(), lazy=engine.lazy)
    with reporter.searching(candidates) as tell, closing(tried):
        optimum = optimise(
            space,
            reference,
            objective,
            tried,
            candidates=candidates,
            seed=plan.spec.seed,
            against=against,
            tell=tell,
            keep=keep,
        )
    return Found(optimum, seeds, plan, search_id)


def _with_assumption(plan: "Plan", space: "Space") -> "Plan":
    """Return the plan with the assumption that one burst is behind the choice of an idle timeout, if it is."""
    from orchestrator.sweeps.plan import ONE_BURST

    searched = any(knob.name == "idle_timeout_minutes" for knob in space.knobs)
    if not searched or not plan.workload.all_at_once or ONE_BURST in plan.assumptions:
        return plan
    return replace(plan, assumptions=(*plan.assumptions, ONE_BURST))


def _facts(
    plan: "Plan",
    objective: "Objective",
    against: str,
    reference: "Settings",
    seeds: range,
    found: "Optimum | None",
) -> dict[str, Any]:
    """Return the facts of a search that its trials don't show."""
    return {
        "objective": objective.text,
        "against": against,
        "best": None if found is None else found.best.label,
        "reference": reference.label(),
        "evaluated": None if found is None else found.evaluated,
        "seeds": list(seeds),
        "shape": plan.shape.describe(),
        "workload": plan.workload.describe(),
        "assumptions": list(plan.assumptions),
        "ended": time.time(),
        "orchestrate": __version__,
    }


def _against(plan: "Plan", objective: "Objective") -> str:
    """Return the price of speed: dollars, or node-seconds where a price is missing. Raises InputError."""
    unpriced = plan.prices.without(plan.shape.workers)
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
