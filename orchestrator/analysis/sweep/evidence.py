"""Evidence from the trials of a sweep: the certainty of each number, real differences, and the setting to use."""

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from orchestrator.analysis.sweep.objective import Objective
from orchestrator.analysis.sweep.pareto import pareto_front
from orchestrator.analysis.sweep.statistics import (
    Difference,
    Drift,
    Interval,
    any_difference,
    compare,
    drift,
    holm,
    median_interval,
    outliers,
    repeats_needed,
)
from orchestrator.analysis.sweep.summary import summarise
from orchestrator.model import quantities
from orchestrator.model.base import FrozenModel
from orchestrator.model.quantities import find, shown_in
from orchestrator.model.scorecard import Scorecard
from orchestrator.model.settings import Settings
from orchestrator.model.verdicts import VERDICTS

ALPHA = 0.05
CONFIDENCE = 0.95
# Nobody asked whether there is a drift, so it must be plain to be mentioned.
DRIFT_ALPHA = 0.01
# From here on the sign-flip test of pairs can reach the level at all.
_FEWEST_PAIRS = 6

Verdict = Literal["lower", "higher", "indistinguishable", "too few repeats"]


@dataclass(frozen=True)
class Result:
    """One trial's part in the evidence; `scorecard` is None until it has ended. Results are in the order of their runs.

    Trials with one `seed` have their random numbers in common: boot times and arrivals.
    """

    settings: Settings
    repeat: int
    seed: int
    trial_id: str
    scorecard: Scorecard | None

    @property
    def valid(self) -> bool:
        """True if it enters any number."""
        return self.scorecard is not None and self.scorecard.valid


@dataclass(frozen=True)
class Sample:
    """The values of one side, by seed."""

    label: str
    values: Mapping[int, float]

    @property
    def ordered(self) -> list[float]:
        """The values, by ascending seed."""
        return [self.values[seed] for seed in sorted(self.values)]


class SettingEvidence(FrozenModel):
    """One setting: trials planned, ended and valid, and for each quantity that the valid ones show its interval."""

    settings: Settings
    label: str
    trials: int
    ended: int
    valid: int
    intervals: dict[str, Interval]


class Contrast(FrozenModel):
    """The difference b − a in one quantity. `p_adjusted` allows for the number of comparisons made.

    `repeats_needed` is how many repeats would probably tell a difference as large, where these can't.
    """

    quantity: str
    a: str
    b: str
    difference: Difference
    p_adjusted: float
    verdict: Verdict
    repeats_needed: int | None = None


class Evidence(FrozenModel):
    """Evidence from a sweep: its settings, their contrasts with the best in `objective`, and the caveats.

    `best` has the lowest median of the objective, `value`; of several with the same, the fastest and then the cheapest
    counts. `alike` are the settings indistinguishable from it.
    `front` are the settings for which no other is both faster and cheaper. All name settings by their labels.

    `cost_contrasts` compare the cost of the best setting with that of each in `alike`, unless the objective contains
    the cost. `missing` are the quantities that the objective needs and no valid trial shows.
    """

    objective: str
    settings: tuple[SettingEvidence, ...]
    best: str | None
    value: Interval | None
    alike: tuple[str, ...]
    front: tuple[str, ...]
    contrasts: tuple[Contrast, ...]
    warnings: tuple[str, ...]
    cost_contrasts: tuple[Contrast, ...] = ()
    missing: tuple[str, ...] = ()

    @property
    def decided(self) -> bool:
        """False as long as there are too few valid trials to tell the best setting from any other."""
        return any(each.verdict != "too few repeats" for each in self.contrasts)

    def cost_verdict(self, label: str) -> Verdict | None:
        """Return how the cost of a setting compares with that of the best; None if it isn't one of `alike`."""
        return next((each.verdict for each in self.cost_contrasts if each.b == label), None)


def weigh(results: Sequence[Result], objective: Objective | None = None) -> Evidence:
    """Return the evidence of a sweep, for an objective to minimise (default: makespan).

    The best setting is chosen by the very data that then has to prove it. So it is asked first whether there is any
    difference between the settings at all; then each is held against the best, as one of so many comparisons (Holm).
    Invalid trials enter no number and are always mentioned.
    """
    objective = objective or Objective.parse("makespan_s")
    groups = by_setting(results)
    settings = tuple(_setting_evidence(own) for own in groups.values())
    values = {choice: values_by_seed(own, objective) for choice, own in groups.items()}
    judged = {choice: each for choice, each in values.items() if each}
    told = {each.settings: each.intervals for each in settings}
    best = min(
        judged, key=lambda choice: (statistics.median(judged[choice].values()), *_tie(told[choice])), default=None
    )
    found = []
    if best is not None:
        samples = {choice: Sample(choice.label(), each) for choice, each in judged.items()}
        others = [sample for choice, sample in samples.items() if choice != best]
        at_all = any_difference_between(list(samples.values())) if len(others) > 1 else 0.0
        found = contrasts(objective.text, [(samples[best], each) for each in others], least_p=at_all)
    alike = tuple(each.b for each in found if each.verdict not in ("lower", "higher"))
    return Evidence(
        objective=objective.text,
        settings=settings,
        best=None if best is None else best.label(),
        value=None if best is None else median_interval(judged[best].values(), CONFIDENCE),
        alike=alike,
        front=tuple(pareto_front(_speed_and_cost(settings))),
        contrasts=tuple(found),
        warnings=tuple(_warnings(results, groups)),
        cost_contrasts=() if best is None else tuple(_cost_contrasts(groups, best, alike, objective)),
        missing=_missing(groups, objective) if best is None else (),
    )


def _cost_contrasts(
    groups: Mapping[Settings, Sequence[Result]], best: Settings, alike: Sequence[str], objective: Objective
) -> list[Contrast]:
    """Compare the costs, or the node-seconds where a price is missing, of settings that are alike in the objective."""
    for quantity in ("cost_usd", "node_seconds"):
        if quantity in objective.names:
            return []
        cost = Objective.parse(quantity)
        samples = {choice: Sample(choice.label(), values_by_seed(own, cost)) for choice, own in groups.items()}
        others = [sample for sample in samples.values() if sample.label in alike]
        if others and all(sample.values for sample in (samples[best], *others)):
            return contrasts(quantity, [(samples[best], each) for each in others])
    return []


def _missing(groups: Mapping[Settings, Sequence[Result]], objective: Objective) -> tuple[str, ...]:
    valid = [(result.settings, result.scorecard) for own in groups.values() for result in _valid(own)]
    rows = summarise(valid)
    return tuple(name for name in sorted(objective.names) if rows and all(row.spread(name) is None for row in rows))


def places(evidence: Evidence) -> dict[str, int]:
    """Return a number for each setting with a valid trial, by label.

    It is the place of its verdict in `VERDICTS`, from 1.
    """
    words: dict[Verdict, str] = {"lower": "best", "higher": "slower"}
    place = {verdict: VERDICTS.index(words.get(verdict, verdict)) + 1 for verdict in get_args(Verdict)}
    first = 1 if evidence.decided or len(evidence.settings) == 1 else place["too few repeats"]
    best = {} if evidence.best is None else {evidence.best: first}
    return best | {contrast.b: place[contrast.verdict] for contrast in evidence.contrasts}


class Recommendation(FrozenModel):
    """A recommendation: the setting, its reasons and caveats, as sentences. If not `decided`, `headline` says why."""

    settings: Settings
    label: str
    decided: bool
    headline: str
    reasons: tuple[str, ...]
    doubts: tuple[str, ...]


def recommend(evidence: Evidence) -> Recommendation | None:
    """Return the setting with the lowest objective, with the evidence and the doubt; None if no trial is valid."""
    if evidence.value is None:
        return None
    chosen = next(each for each in evidence.settings if each.label == evidence.best)
    value = evidence.value
    quantity = find(evidence.objective)

    def text(number: float | None) -> str:
        if quantity is None:  # an expression, which has no unit
            return f"{number:.4g}"
        return quantity.text_with_unit(number)

    called = evidence.objective if quantity is None else quantity.heading
    among = f"lowest {called} of {len(evidence.settings)} settings"
    within = "" if value.low is None else f", {CONFIDENCE:.0%} interval {text(value.low)} to {text(value.high)}"
    reasons = [f"{among}: median {text(value.median)}{within}, n = {value.n}"]
    reasons += [
        f"{each.b} is higher by {text(each.difference.difference)}{_percent(each.difference)} "
        f"(p = {each.p_adjusted:.2g})"
        for each in evidence.contrasts
        if each.verdict == "higher"
    ]
    if chosen.label in evidence.front:
        reasons.append("no other setting is both faster and cheaper")
    doubts = []
    equal = [each.b for each in evidence.contrasts if each.verdict == "indistinguishable"]
    for each in evidence.cost_contrasts:
        if each.b in equal and each.verdict in ("lower", "higher"):
            equal.remove(each.b)
            amount = quantities.quantity(each.quantity).text_with_unit(abs(each.difference.difference))
            cost = f"{amount}{_percent(each.difference)} (p = {each.p_adjusted:.2g})"
            if each.verdict == "lower":
                doubts.append(f"{each.b} is indistinguishable from it in {called}, and costs less by {cost}")
            else:
                reasons.append(f"{each.b} is indistinguishable from it in {called}, and costs more by {cost}")
    if equal:
        doubts.append(f"indistinguishable from it: {_listed(equal)}")
    if few := [each for each in evidence.contrasts if each.verdict == "too few repeats"]:
        needed = sorted({each.repeats_needed for each in few if each.repeats_needed})
        advice = f"{needed[0]} repeats or more might" if needed else "use at least --repeat 5"
        doubts.append(f"too few repeats to tell it from {_listed([each.b for each in few])}; {advice}")
    return Recommendation(
        settings=chosen.settings,
        label=chosen.label,
        decided=evidence.decided,
        headline=_headline(evidence, chosen.label, value.n),
        reasons=tuple(reasons),
        doubts=(*doubts, *evidence.warnings),
    )


def _headline(evidence: Evidence, label: str, runs: int) -> str:
    if len(evidence.settings) == 1:
        return f"only {label} was tried"
    if evidence.decided:
        return f"take {label}"
    if not evidence.contrasts:
        return f"not decided: only {label} has a valid trial"
    return f"not decided: {label} {'was lowest in one run' if runs == 1 else f'has the lowest median of {runs} runs'}"


def no_choice(evidence: Evidence, unpriced: Sequence[str] = ()) -> str:
    """Return why no setting is recommended. `unpriced` are the instance types of the sweep without a known price."""
    begin = "no setting can be recommended"
    if not any(each.valid for each in evidence.settings):
        return f"{begin}: no trial is valid"
    if "cost_usd" in evidence.missing:
        why = f", as there is no price for {', '.join(unpriced)}" if unpriced else ""
        return (
            f"{begin}: no cost is known{why}; sweep again with --prices FILE (docs/prices.md), "
            "or choose by --objective node_seconds"
        )
    if evidence.missing:
        return f"{begin}: no valid trial shows {', '.join(evidence.missing)}"
    return f"{begin}: {evidence.objective!r} has no value for any setting; it may divide by 0"


def _listed(labels: Sequence[str], most: int = 4) -> str:
    more = f" and {len(labels) - most} more" if len(labels) > most else ""
    return ", ".join(labels[:most]) + more


def _percent(difference: Difference) -> str:
    return "" if difference.relative is None else f", {difference.relative:+.1%}"


def contrasts(
    quantity: str, pairs: Sequence[tuple[Sample, Sample]], *, least_p: float = 0.0, alpha: float = ALPHA
) -> list[Contrast]:
    """Return the difference second − first of each pair, with p-values adjusted for the number of pairs (Holm).

    Where both have the same six seeds or more, the values of one seed are compared. No p-value is below `least_p`.
    """
    paired = [a.values.keys() == b.values.keys() and len(a.values) >= _FEWEST_PAIRS for a, b in pairs]
    tested = [
        compare(a.ordered, b.ordered, paired=by_seed, confidence=CONFIDENCE)
        for (a, b), by_seed in zip(pairs, paired, strict=True)
    ]
    adjusted = holm([difference.p_value for difference in tested])
    found = []
    for (a, b), by_seed, difference, p in zip(pairs, paired, tested, adjusted, strict=True):
        p_adjusted, needed = max(p, least_p), None
        if p_adjusted < alpha:
            verdict: Verdict = "lower" if difference.difference < 0 else "higher"
        else:
            differ = len(a.values) < 2 or a.ordered != b.ordered
            few = difference.smallest_p * len(pairs) >= alpha and differ
            verdict = "too few repeats" if few else "indistinguishable"
            needed = repeats_needed(a.ordered, b.ordered, paired=by_seed, alpha=alpha / len(pairs))
        found.append(
            Contrast(
                quantity=quantity,
                a=a.label,
                b=b.label,
                difference=difference,
                p_adjusted=p_adjusted,
                verdict=verdict,
                repeats_needed=needed,
            )
        )
    return found


def main_quantities() -> list[str]:
    """Return the names of the numbers that get an interval, and that are compared by default."""
    return [each.name for each in shown_in("evidence")]


def any_difference_between(samples: Sequence[Sample]) -> float:
    """Return the p-value of the question whether any of the samples differs at all."""
    blocked = all(sample.values.keys() == samples[0].values.keys() for sample in samples)
    return any_difference([sample.ordered for sample in samples], blocked=blocked)


def values_by_seed(results: Iterable[Result], objective: Objective) -> dict[int, float]:
    """Return the valid trials' values of an objective, where it has one, by seed."""
    found = {
        result.seed: objective.value(summarise([(result.settings, result.scorecard)])[0])
        for result in results
        if result.valid
    }
    return {seed: value for seed, value in found.items() if value is not None}


def by_setting(results: Iterable[Result]) -> dict[Settings, list[Result]]:
    """Return the results of each setting, in the order of its first."""
    groups: dict[Settings, list[Result]] = {}
    for result in results:
        groups.setdefault(result.settings, []).append(result)
    return groups


def _setting_evidence(results: Sequence[Result]) -> SettingEvidence:
    settings = results[0].settings
    known = {name: list(values_by_seed(results, Objective.parse(name)).values()) for name in main_quantities()}
    return SettingEvidence(
        settings=settings,
        label=settings.label(),
        trials=len(results),
        ended=sum(1 for result in results if result.scorecard is not None),
        valid=sum(1 for result in results if result.valid),
        intervals={name: median_interval(values, CONFIDENCE) for name, values in known.items() if values},
    )


def _tie(intervals: Mapping[str, Interval]) -> tuple[float, ...]:
    """Return the medians that decide between equal objectives, so that the best is never a dominated setting."""
    return tuple(intervals[name].median if name in intervals else math.inf for name in ("makespan_s", "cost_usd"))


def _speed_and_cost(settings: Iterable[SettingEvidence]) -> Iterable[tuple[str, tuple[float, float]]]:
    for each in settings:
        if "makespan_s" in each.intervals and "cost_usd" in each.intervals:
            yield each.label, (each.intervals["makespan_s"].median, each.intervals["cost_usd"].median)


def _warnings(results: Sequence[Result], groups: Mapping[Settings, Sequence[Result]]) -> Iterable[str]:
    """Yield caveats for the reader, the gravest first."""
    for result in results:
        if result.scorecard is not None and not result.scorecard.valid:
            because = "; ".join(result.scorecard.invalid_because)
            yield f"excluded as invalid: {_name(result)}: {because}"
    yield from (f"no valid trial: {settings.label()}" for settings, own in groups.items() if not _valid(own))
    for own in groups.values():
        makespans = list(_makespans(own))
        yield from (
            f"outlier: {_name(_valid(own)[i])}: makespan {makespans[i]:.1f} s; its setting's "
            f"median is {statistics.median(makespans):.1f} s"
            for i in outliers(makespans)
        )
    if (trend := _trend(groups)) is not None and trend.p_value < DRIFT_ALPHA:
        yield (
            f"drift: makespan changes by {trend.slope_per_trial:+.2f} s with each repeat (p = {trend.p_value:.2g}); "
            "check what else runs on the machine"
        )
    fewest = min((len(_valid(own)) for own in groups.values()), default=0)
    if len(groups) > 1 and 0 < fewest < 3:
        yield f"{fewest} valid trial{'' if fewest == 1 else 's'} per setting can't show the spread: use --repeat 5"


def _valid(results: Iterable[Result]) -> list[Result]:
    return [result for result in results if result.valid]


def _name(result: Result) -> str:
    return f"{result.trial_id} ({result.settings.label()} #{result.repeat})"


def _trend(groups: Mapping[Settings, Sequence[Result]]) -> Drift | None:
    """Return the trend of makespans, relative to their setting's median, over the repeats in the order of their runs.

    One value for each repeat: the trials of one have their random numbers in common, and say one thing several times.
    """
    above: dict[int, list[float]] = {}
    for own in groups.values():
        makespans = list(_makespans(own))
        for result, makespan in zip(_valid(own), makespans, strict=True):
            above.setdefault(result.repeat, []).append(makespan - statistics.median(makespans))
    return drift(statistics.fmean(above[repeat]) for repeat in sorted(above))


def _makespans(results: Iterable[Result]) -> Iterable[float]:
    """Return those of the valid trials; each has one, since a task ended in it."""
    return (result.scorecard.makespan_s or 0.0 for result in results if result.scorecard is not None and result.valid)
