"""The simulator's prediction for a plan, before anything is started."""

import math
from dataclasses import dataclass

from orchestrator.analysis.sweep.summary import SettingSummary, summarise
from orchestrator.backends.registry import SIMULATED
from orchestrator.model.fault import Fault, impossible
from orchestrator.model.scorecard import Scorecard
from orchestrator.model.settings import Settings
from orchestrator.simulator.scored import simulate_and_score
from orchestrator.sweeps.plan import Plan

SEEDS = 3
MAX_SETTINGS = 40
SAME_COST = 0.01
"""Costs that differ by a smaller share are alike."""


@dataclass(frozen=True)
class Foresight:
    """The prediction: a row for each setting, over `SEEDS` seeds; `alike` are groups of indistinguishable settings.

    `without` are the workload's faults that the simulator lacks. The prediction doesn't include them.
    """

    rows: tuple[SettingSummary, ...]
    alike: tuple[tuple[Settings, ...], ...]
    without: tuple[Fault, ...] = ()


def foresee(plan: Plan) -> Foresight:
    """Simulate each setting of a plan, the first `MAX_SETTINGS` of them, under the same few seeds.

    Settings are alike if, with each seed, makespan and time to peak differ by less than one update of the autoscaler,
    and the cost by less than `SAME_COST`: the random variation of a real cluster is larger than that.
    """
    from orchestrator.backends.simulated.backend import default_timeout_s

    chosen = plan.settings[:MAX_SETTINGS]
    without = tuple(impossible(plan.workload.faults, SIMULATED.faults))
    faults = tuple(fault for fault in plan.workload.faults if fault not in without)
    workload = plan.workload.model_copy(update={"faults": faults})
    cards: dict[Settings, list[Scorecard]] = {}
    for settings in chosen:
        first = next(trial for trial in plan.trials if trial.settings == settings)
        for seed in range(plan.spec.seed, plan.spec.seed + SEEDS):
            trial = first.model_copy(
                update={"backend": SIMULATED.name, "workload": workload, "seed": seed, "repeat": 1}
            )
            timeout_s = plan.spec.timeout_s or default_timeout_s(trial)
            cards.setdefault(settings, []).append(
                simulate_and_score(trial, timeout_s=timeout_s, prices=plan.prices).card
            )
    rows = summarise((settings, card) for settings, own in cards.items() for card in own)
    return Foresight(tuple(rows), _alike(cards), without)


def _alike(cards: dict[Settings, list[Scorecard]]) -> tuple[tuple[Settings, ...], ...]:
    groups: list[list[Settings]] = []
    for settings, own in cards.items():
        group = next((group for group in groups if _close(settings, own, cards[group[0]])), None)
        if group is None:
            groups.append([settings])
        else:
            group.append(settings)
    return tuple(tuple(group) for group in groups if len(group) > 1)


def _close(settings: Settings, some: list[Scorecard], others: list[Scorecard]) -> bool:
    """Return whether two settings gave the same times within one update, and the same cost, seed by seed."""
    pairs = [
        (getattr(one, name), getattr(other, name))
        for one, other in zip(some, others, strict=True)
        for name in ("makespan_s", "time_to_peak_s")
    ]
    in_time = all(
        one is not None and other is not None and abs(one - other) < settings.update_interval_s for one, other in pairs
    )
    return in_time and all(
        math.isclose(_cost(one), _cost(other), rel_tol=SAME_COST) for one, other in zip(some, others, strict=True)
    )


def _cost(card: Scorecard) -> float:
    """Return the dollars, or the node-seconds where a price is missing."""
    return card.node_seconds.total if card.cost_usd is None else card.cost_usd.total
