"""The search of settings for the lowest objective, and for the trade-off between makespan and cost."""

import math
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from orchestrator.analysis.sweep.objective import Objective
from orchestrator.analysis.sweep.pareto import pareto_front
from orchestrator.analysis.sweep.summary import SettingSummary
from orchestrator.errors import InputError, OrchestrateError, TrialFailed
from orchestrator.model.settings import Settings
from orchestrator.optimiser.space import Space

if TYPE_CHECKING:
    from optuna import Study, Trial

# The size of a batch. It doesn't depend on the number of cores, and so neither does the answer.
BATCH = 8
# A smaller difference, as a share of the lowest objective, doesn't justify a change.
TOLERANCE = 0.005


@dataclass(frozen=True)
class Verdict:
    """The result of a candidate over all seeds, or the reason why it can't be judged."""

    row: SettingSummary
    reason: str = ""


class Evaluate(Protocol):
    """A function that evaluates candidates, each over the same seeds, and yields their verdicts in order."""

    def __call__(self, batch: Sequence[Settings]) -> Iterable[Verdict]:
        """Yield the verdicts on these settings, in order."""
        ...


@dataclass(frozen=True)
class Optimum:
    """The answer: the present setting, the best one, and the trade-off of makespan and `against`, the fastest first.

    `evaluated` counts different settings; `infeasible` counts those that can't be judged.
    """

    objective: Objective
    space: Space
    against: str
    reference: SettingSummary
    best: SettingSummary
    front: tuple[SettingSummary, ...]
    evaluated: int
    infeasible: int

    def value(self, row: SettingSummary) -> float | None:
        """Return the objective of one of the rows, or None if it can't be judged."""
        return _value(self.objective, row)


def optimise(
    space: Space,
    reference: Settings,
    objective: Objective,
    evaluate: Evaluate,
    *,
    candidates: int,
    seed: int,
    against: str = "cost_usd",
    tell: Callable[[int, float | None], None] = lambda _tried, _lowest: None,
    keep: "Callable[[Study, Optimum | None], None]" = lambda _study, _optimum: None,
) -> Optimum:
    """Try `candidates` settings, the reference first, and choose. `tell` gets their number and the lowest objective.

    Optuna's TPE proposes settings in batches; the same arguments give the same answer. A change without benefit isn't
    recommended: among the settings whose objective is within `TOLERANCE` of the lowest, the one nearest to the
    reference is best. In the end the search resets each of its knobs to the reference's value, which needs a few more
    trials, and keeps the reset if the result is as good. The reference itself can be best if the space allows it. A
    setting isn't best if another is as good in objective, makespan and `against`, and better in one of them: for the
    reference, by `TOLERANCE`.

    `keep` is called once with the study, also of a search that ends early, which has no result.

    Raises TrialFailed if no setting can be judged, InputError if the objective has no value for any.
    """
    search = _Search(space, objective, against, seed)
    found: Optimum | None = None
    try:
        found = _searched(search, space, reference, objective, evaluate, candidates, against, tell)
        return found
    finally:
        keep(search.study, found)


def _searched(
    search: "_Search",
    space: Space,
    reference: Settings,
    objective: Objective,
    evaluate: Evaluate,
    candidates: int,
    against: str,
    tell: Callable[[int, float | None], None],
) -> Optimum:
    verdicts: dict[Settings, Verdict] = {}
    tried, lowest = 0, None
    while tried < candidates:
        first = [] if verdicts else [reference]
        batch = [*first, *search.ask(min(BATCH, candidates - tried) - len(first))]
        new = [settings for settings in dict.fromkeys(batch) if settings not in verdicts]
        tried += len(batch) - len(new)
        for settings, verdict in zip(new, evaluate(new), strict=True):
            verdicts[settings] = verdict
            tried += 1
            value = _value(objective, verdict.row)
            lowest = value if lowest is None or (value is not None and value < lowest) else lowest
            tell(tried, lowest)
        search.tell({settings: verdicts[settings] for settings in batch})
    choice = _Choice(objective, space, reference, verdicts, against)
    best = choice.best()
    for name in space.names:
        plainer = space.put_back(best, name, reference)
        if plainer is not None and plainer not in verdicts:
            verdicts.update(zip([plainer], evaluate([plainer]), strict=True))
            search.tell({plainer: verdicts[plainer]})
            best = choice.best()
    return Optimum(
        objective,
        space,
        against,
        verdicts[reference].row,
        verdicts[best].row,
        choice.front(against),
        len(verdicts),
        sum(1 for verdict in verdicts.values() if not _judged(verdict.row)),
    )


def _judged(row: SettingSummary) -> bool:
    """Return true if all trials of the candidate are valid: medians over different seeds aren't comparable."""
    return row.valid == row.trials


def _value(objective: Objective, row: SettingSummary) -> float | None:
    return objective.value(row) if _judged(row) else None


@dataclass(frozen=True)
class _Choice:
    """A choice among the tried settings that the space allows. Ties go to the nearest, then to the first."""

    objective: Objective
    space: Space
    reference: Settings
    verdicts: Mapping[Settings, Verdict]
    against: str

    def best(self) -> Settings:
        """Return the best setting. See `optimise` for the rule and the errors."""
        values = {settings: value for settings, value in self._values(self.objective) if value is not None}
        if not values:
            raise self._no_choice()
        lowest = min(values.values())
        near = [settings for settings, value in values.items() if value <= lowest + TOLERANCE * abs(lowest)]
        shown = {settings: self._measures(settings) for settings in near}
        return min(
            (settings for settings in near if not self._beaten(settings, shown)),
            key=self._distance,
        )

    def _measures(self, settings: Settings) -> tuple[float, ...]:
        """Return objective, makespan and the price of speed; infinite where a setting shows none."""
        row = self.verdicts[settings].row
        goals = (self.objective, Objective.parse("makespan_s"), Objective.parse(self.against))
        return tuple(math.inf if (value := _value(goal, row)) is None else value for goal in goals)

    def _beaten(self, settings: Settings, shown: Mapping[Settings, tuple[float, ...]]) -> bool:
        """Return whether another setting is as good in each measure, and better in one."""
        own = shown[settings]
        gain = TOLERANCE if settings == self.reference else 0.0
        return any(
            all(theirs <= mine for theirs, mine in zip(other, own, strict=True))
            and any(theirs < mine - gain * abs(mine) for theirs, mine in zip(other, own, strict=True) if theirs < mine)
            for other in shown.values()
        )

    def front(self, against: str) -> tuple[SettingSummary, ...]:
        """Return the settings that no other beats in both speed and cost, the fastest first."""
        fast, cheap = (dict(self._values(Objective.parse(name))) for name in ("makespan_s", against))
        points = [
            (settings, (makespan, cost))
            for settings, makespan in sorted(fast.items(), key=lambda item: self._distance(item[0]))
            if makespan is not None and (cost := cheap[settings]) is not None
        ]
        return tuple(self.verdicts[settings].row for settings in pareto_front(points))

    def _values(self, objective: Objective) -> Iterable[tuple[Settings, float | None]]:
        allowed = (settings for settings in self.verdicts if self.space.allows(settings))
        return ((settings, _value(objective, self.verdicts[settings].row)) for settings in allowed)

    def _distance(self, settings: Settings) -> float:
        return self.space.distance(settings, self.reference)

    def _no_choice(self) -> OrchestrateError:
        failed = [verdict for verdict in self.verdicts.values() if not _judged(verdict.row)]
        if failed:
            return TrialFailed(f"no setting could be judged; {failed[0].row.label}: {failed[0].reason}")
        if not any(map(self.space.allows, self.verdicts)):
            return InputError("only the reference was tried, and it is outside the searched space", "--candidates 64")
        return InputError(
            f"--optimise: {self.objective.text!r} has no value for any setting",
            "it divides by 0, or needs a number that these trials don't show",
        )


class _Search:
    """The Optuna side of the search: it proposes settings and receives their results."""

    def __init__(self, space: Space, objective: Objective, against: str, seed: int) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        others = [Objective.parse(name) for name in ("makespan_s", against) if name != objective.name]
        self._goals = [objective, *others]
        self._space = space
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # before optuna 5, constant_liar was experimental
            sampler = optuna.samplers.TPESampler(seed=seed % 2**32, constant_liar=True)
            self.study = optuna.create_study(directions=["minimize"] * len(self._goals), sampler=sampler)
            self.study.set_metric_names([goal.text for goal in self._goals])
        self._asked: list[tuple[Trial, Settings]] = []

    def ask(self, count: int) -> list[Settings]:
        """Return this number of settings to try next. Some can be known already."""
        trials = [self.study.ask(self._space.distributions()) for _ in range(count)]
        self._asked = [(trial, self._space.settings(trial.params)) for trial in trials]
        return [settings for _, settings in self._asked]

    def tell(self, verdicts: Mapping[Settings, Verdict]) -> None:
        """Record the results of the proposed settings, and of others that were tried with them."""
        from optuna.trial import TrialState, create_trial

        proposed = {settings for _, settings in self._asked}
        for settings in verdicts.keys() - proposed:
            values, parameters = self._values(verdicts[settings]), self._space.parameters(settings)
            if values is not None and parameters is not None:
                distributions = self._space.distributions()
                label = {"setting": settings.label()}
                self.study.add_trial(
                    create_trial(params=parameters, distributions=distributions, values=values, user_attrs=label)
                )
        for trial, settings in self._asked:
            values = self._values(verdicts[settings])
            trial.set_user_attr("setting", settings.label())
            self.study.tell(trial, values, TrialState.FAIL if values is None else TrialState.COMPLETE)
        self._asked = []

    def _values(self, verdict: Verdict) -> list[float] | None:
        values = [_value(goal, verdict.row) for goal in self._goals]
        known = [value for value in values if value is not None]
        return known if len(known) == len(values) else None
