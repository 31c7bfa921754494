"""A plan and its prediction as JSON: what `--dry-run --json` writes."""

from typing import Any

from pydantic import BaseModel, ConfigDict

from orchestrator.analysis.sweep.summary import SettingSummary
from orchestrator.model.prices import Prices
from orchestrator.model.settings import Settings
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


class PlanDocument(BaseModel):
    """A sweep before it runs. `trials` are in their order; `prediction` is null where the simulator can't run."""

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


def plan_document(plan: Plan, foresight: Foresight | None) -> PlanDocument:
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
    )


def _prediction(foresight: Foresight) -> Prediction:
    return Prediction(
        summary=list(foresight.rows),
        alike=[[settings.label() for settings in group] for group in foresight.alike],
        without=[str(fault) for fault in foresight.without],
    )
