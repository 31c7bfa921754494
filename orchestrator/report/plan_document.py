"""A plan and its prediction as JSON: what `--dry-run --json` writes."""

from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict

from orchestrator.analysis.sweep.summary import SettingSummary
from orchestrator.model.billing import Rates
from orchestrator.model.prices import Prices
from orchestrator.model.settings import Settings
from orchestrator.replay.cost import Amount, Estimate
from orchestrator.replay.prediction import Foresight
from orchestrator.sweeps.plan import Plan


class PlannedTrial(BaseModel):
    """One trial that would run."""

    trial_id: str
    settings: Settings
    repeat: int
    seed: int


class Prediction(BaseModel):
    """The simulator's prediction: medians over its seeds; `alike` are groups of indistinguishable settings, by label.

    `without` are the faults that the prediction doesn't include.
    """

    summary: list[SettingSummary]
    alike: list[list[str]]
    without: list[str]


class PlannedAmount(BaseModel):
    """Dollars and seconds, as expected (null without a prediction) and at worst."""

    usd: float | None
    seconds: float | None
    worst_usd: float
    worst_seconds: float


class PlannedCost(BaseModel):
    """The cost of a sweep on machines that cost money, with head, disks and addresses: in all, and by trial id."""

    total: PlannedAmount
    trials: dict[str, PlannedAmount]
    clusters: int
    rates: Rates
    unknown: list[str]


class PlanDocument(BaseModel):
    """A sweep before it runs. `trials` are in their order; `prediction` is null where the simulator can't run.

    `cost` is null where nothing costs money. `changes` are the lines of a diff: what is launched in place of the file.
    """

    model_config = ConfigDict(title="Plan")

    name: str
    backend: str
    starts: str
    order: str
    seed: int
    repeat: int
    shape: dict[str, Any]
    workload: dict[str, Any]
    settings: list[Settings]
    trials: list[PlannedTrial]
    prices: Prices
    assumptions: list[str]
    notes: list[str]
    warnings: list[str]
    prediction: Prediction | None
    cost: PlannedCost | None = None
    changes: list[str] = []


def plan_document(
    plan: Plan, foresight: Foresight | None, cost: Estimate | None = None, changes: Sequence[str] = ()
) -> PlanDocument:
    """Return a plan as a document."""
    spec = plan.spec
    return PlanDocument(
        name=spec.name,
        backend=spec.backend,
        starts=plan.starts,
        order=spec.order,
        seed=spec.seed,
        repeat=spec.repeat,
        shape=plan.shape.model_dump(mode="json"),
        workload=plan.workload.model_dump(mode="json"),
        settings=plan.settings,
        trials=[
            PlannedTrial(trial_id=each.trial_id, settings=each.settings, repeat=each.repeat, seed=each.seed)
            for each in plan.trials
        ],
        prices=plan.prices,
        assumptions=list(plan.assumptions),
        notes=list(plan.notes),
        warnings=list(plan.warnings),
        prediction=None if foresight is None else _prediction(foresight),
        cost=None if cost is None else _cost(cost),
        changes=list(changes),
    )


def _cost(estimate: Estimate) -> PlannedCost:
    def planned(amount: Amount) -> PlannedAmount:
        return PlannedAmount(
            usd=amount.usd, seconds=amount.seconds, worst_usd=amount.worst_usd, worst_seconds=amount.worst_s
        )

    return PlannedCost(
        total=planned(estimate.total),
        trials={trial_id: planned(amount) for trial_id, amount in estimate.trials.items()},
        clusters=estimate.clusters,
        rates=estimate.rates,
        unknown=list(estimate.unknown),
    )


def _prediction(foresight: Foresight) -> Prediction:
    return Prediction(
        summary=list(foresight.rows),
        alike=[[settings.label() for settings in group] for group in foresight.alike],
        without=[str(fault) for fault in foresight.without],
    )
