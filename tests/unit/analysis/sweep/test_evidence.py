"""What is concluded from trials, on makespans whose story is plain."""

import random
from collections.abc import Sequence

import pytest

from orchestrator.analysis.sweep.evidence import (
    Evidence,
    Result,
    Sample,
    contrasts,
    no_choice,
    places,
    recommend,
    weigh,
)
from orchestrator.analysis.sweep.objective import Objective
from orchestrator.model.scorecard import ByPart, Scorecard
from orchestrator.model.settings import Settings
from tests.support.builders import scorecard

SLOW, FAST, OTHER = (Settings(upscaling_speed=speed) for speed in (1, 10, 11))


def results(settings: Settings, makespans: Sequence[float], *, cost: float = 1.0, first_seed: int = 0) -> list[Result]:
    """A trial for each makespan, with seeds that count up."""
    return [
        Result(settings, n, first_seed + n, f"{settings.label()}-{n}", card(makespan, cost))
        for n, makespan in enumerate(makespans, start=1)
    ]


def card(makespan: float, cost: float = 1.0) -> Scorecard:
    return scorecard(makespan, cost_usd=ByPart(total=cost))


def invalid(settings: Settings, repeat: int = 9) -> Result:
    return Result(settings, repeat, repeat, "bad", scorecard(1.0, valid=False, invalid_because=("host saturated",)))


def verdicts(evidence: Evidence) -> dict[str, str]:
    return {each.b: each.verdict for each in evidence.contrasts}


TEN = [50.0, 51, 49, 50.5, 49.5, 50.2, 49.8, 50.1, 49.9, 50.3]


def test_a_plain_difference_is_found() -> None:
    evidence = weigh([*results(SLOW, [makespan + 10 for makespan in TEN]), *results(FAST, TEN)])

    assert evidence.best == FAST.label()
    assert verdicts(evidence) == {SLOW.label(): "higher"}
    assert evidence.alike == ()
    assert evidence.contrasts[0].difference.difference == pytest.approx(10)


def test_chance_is_called_chance() -> None:
    rng = random.Random(1)
    one, other = ([rng.gauss(50, 5) for _ in range(10)] for _ in range(2))
    evidence = weigh([*results(SLOW, one), *results(FAST, other, first_seed=100)])

    assert set(verdicts(evidence).values()) == {"indistinguishable"}
    assert len(evidence.alike) == 1


def test_two_repeats_are_too_few_and_it_is_said_how_many_would_do() -> None:
    evidence = weigh([*results(SLOW, [60, 61]), *results(FAST, [50, 51])])
    (only,) = evidence.contrasts

    assert only.verdict == "too few repeats"
    assert only.repeats_needed is not None
    assert 4 <= only.repeats_needed <= 10


def test_one_repeat_is_no_evidence_even_if_it_agrees() -> None:
    assert set(verdicts(weigh([*results(SLOW, [60]), *results(FAST, [60])])).values()) == {"too few repeats"}


def test_settings_that_always_do_the_same_are_indistinguishable() -> None:
    evidence = weigh([*results(SLOW, [60, 70]), *results(FAST, [60, 70])])

    assert set(verdicts(evidence).values()) == {"indistinguishable"}


def test_common_seeds_show_a_difference_that_chance_would_hide() -> None:
    """Boot times make makespans differ by ten, and each pair by one: with common seeds the pairs are compared."""
    rng = random.Random(3)
    luck = [rng.gauss(60, 10) for _ in range(10)]
    later = [each + rng.gauss(1, 0.2) for each in luck]
    paired = weigh([*results(SLOW, later), *results(FAST, luck)])
    unpaired = weigh([*results(SLOW, later), *results(FAST, luck, first_seed=50)])

    assert set(verdicts(paired).values()) == {"higher"}
    assert set(verdicts(unpaired).values()) == {"indistinguishable"}


def test_every_setting_counts_as_a_comparison() -> None:
    """The same two settings among ten others: what was evidence alone isn't any more."""
    pair = [*results(SLOW, [50.0, 51, 52, 53]), *results(FAST, [54.5, 55, 56, 57], first_seed=9)]
    others = [
        result
        for speed in range(20, 30)
        for result in results(Settings(upscaling_speed=speed), [90, 91, 92, 93], first_seed=100 * speed)
    ]
    alone, among = weigh(pair), weigh([*pair, *others])

    assert verdicts(alone)[FAST.label()] == "higher"
    assert verdicts(among)[FAST.label()] == "too few repeats"
    assert among.contrasts[0].p_adjusted == pytest.approx(11 * alone.contrasts[0].p_adjusted)


def test_among_twenty_settings_a_plain_difference_is_still_plain() -> None:
    """With boot times in common: each setting is half a second slower than the one before."""
    rng = random.Random(5)
    luck = [rng.gauss(60, 10) for _ in range(10)]
    trials = [
        result
        for n in range(20)
        for result in results(Settings(upscaling_speed=1 + n), [each + n / 2 + rng.gauss(0, 0.1) for each in luck])
    ]

    assert set(verdicts(weigh(trials)).values()) == {"higher"}


def test_an_invalid_trial_is_in_no_number_and_is_mentioned() -> None:
    evidence = weigh([*results(SLOW, TEN), invalid(SLOW, 11)])

    assert (evidence.settings[0].trials, evidence.settings[0].ended, evidence.settings[0].valid) == (11, 11, 10)
    assert evidence.settings[0].intervals["makespan_s"].n == 10
    assert any("host saturated" in warning and "bad" in warning for warning in evidence.warnings)


def test_a_setting_without_a_valid_trial_is_never_best() -> None:
    evidence = weigh([*results(SLOW, TEN), invalid(FAST)])

    assert evidence.best == SLOW.label()
    assert f"no valid trial: {FAST.label()}" in evidence.warnings


def test_without_a_valid_trial_there_is_nothing_to_recommend() -> None:
    evidence = weigh([invalid(FAST), Result(SLOW, 1, 1, "planned", None)])

    assert evidence.best is None
    assert recommend(evidence) is None
    assert recommend(weigh([])) is None


def test_the_front_holds_what_nothing_beats_in_both() -> None:
    evidence = weigh(
        [
            *results(SLOW, [60, 60, 60], cost=1.0),
            *results(FAST, [50, 50, 50], cost=2.0),
            *results(OTHER, [55, 55, 55], cost=3.0),
        ]
    )

    assert evidence.front == (FAST.label(), SLOW.label())


def test_the_objective_decides_which_is_best() -> None:
    trials = [*results(SLOW, [60, 61, 60], cost=1.0), *results(FAST, [50, 51, 50], cost=2.0)]

    assert weigh(trials, Objective.parse("cost")).best == SLOW.label()
    assert weigh(trials, Objective.parse("makespan")).best == FAST.label()
    assert weigh(trials, Objective.parse("makespan_s + 5*cost_usd")).best == FAST.label()
    assert weigh(trials, Objective.parse("makespan_s + 50*cost_usd")).best == SLOW.label()


def test_a_trial_far_from_its_repeats_is_named() -> None:
    evidence = weigh(results(SLOW, [*TEN, 99.0]))

    assert [warning for warning in evidence.warnings if warning.startswith("outlier")] == [
        f"outlier: {SLOW.label()}-11 ({SLOW.label()} #11): makespan 99.0 s; its setting's median is 50.1 s"
    ]


def test_a_drift_over_the_repeats_is_named() -> None:
    steady = weigh([*results(SLOW, TEN), *results(FAST, TEN)])
    drifting = weigh(results(SLOW, [makespan + 5 * n for n, makespan in enumerate(TEN)]))

    assert not any("drift" in warning for warning in steady.warnings)
    assert any("drift: makespan changes by +5.0" in warning for warning in drifting.warnings)


def test_a_recommendation_gives_reasons_and_doubts() -> None:
    evidence = weigh([*results(SLOW, [n + 10 for n in TEN]), *results(FAST, TEN), *results(OTHER, TEN[::-1])])
    advice = recommend(evidence)

    assert advice is not None
    assert advice.settings == FAST
    assert advice.reasons[0].startswith("lowest makespan of 3 settings: median 50.0 s, 95% interval 49.")
    assert any(reason.startswith(f"{SLOW.label()} is higher by 10.0 s, +20.0%") for reason in advice.reasons)
    assert any(doubt == f"indistinguishable from it: {OTHER.label()}" for doubt in advice.doubts)


def test_a_recommendation_on_single_runs_says_how_little_it_is_worth() -> None:
    advice = recommend(weigh([*results(SLOW, [60]), *results(FAST, [50])]))

    assert advice is not None
    assert any("too few repeats to tell it from" in doubt and "--repeat 5" in doubt for doubt in advice.doubts)


def test_one_run_of_each_setting_decides_nothing() -> None:
    evidence = weigh([*results(SLOW, [60]), *results(FAST, [50])])
    advice = recommend(evidence)

    assert advice is not None
    assert not advice.decided
    assert advice.headline == f"not decided: {FAST.label()} was lowest in one run"
    assert places(evidence) == {FAST.label(): 3, SLOW.label(): 3}


def test_three_runs_of_each_setting_decide_nothing_either() -> None:
    advice = recommend(weigh([*results(SLOW, [60, 61, 62]), *results(FAST, [50, 51, 52], first_seed=9)]))

    assert advice is not None
    assert advice.headline == f"not decided: {FAST.label()} has the lowest median of 3 runs"


def test_a_setting_is_not_taken_because_the_others_failed() -> None:
    advice = recommend(weigh([*results(SLOW, TEN), invalid(FAST)]))

    assert advice is not None
    assert advice.headline == f"not decided: only {SLOW.label()} has a valid trial"


def test_enough_runs_decide() -> None:
    evidence = weigh([*results(SLOW, [n + 10 for n in TEN]), *results(FAST, TEN), *results(OTHER, TEN[::-1])])
    advice = recommend(evidence)

    assert advice is not None
    assert advice.decided
    assert advice.headline == f"take {FAST.label()}"
    assert places(evidence) == {FAST.label(): 1, OTHER.label(): 2, SLOW.label(): 4}


# Cost


def test_settings_that_are_as_fast_may_still_differ_in_cost() -> None:
    evidence = weigh(
        [
            *results(FAST, [makespan - 0.01 for makespan in TEN], cost=1.0),
            *results(SLOW, TEN[::-1], cost=0.6),
            *results(OTHER, TEN[::-1], cost=1.5),
        ]
    )
    advice = recommend(evidence)

    assert evidence.best == FAST.label()
    assert {each.b: each.verdict for each in evidence.cost_contrasts} == {
        SLOW.label(): "lower",
        OTHER.label(): "higher",
    }
    assert advice is not None
    assert any(
        doubt.startswith(f"{SLOW.label()} is indistinguishable from it in makespan, and costs less by $0.400, -40.0%")
        for doubt in advice.doubts
    )
    assert any(
        f"{OTHER.label()} is indistinguishable" in reason and "costs more" in reason for reason in advice.reasons
    )
    assert not any(doubt.startswith("indistinguishable from it") for doubt in advice.doubts)


def test_without_prices_node_seconds_are_compared() -> None:
    def trials(settings: Settings, node_seconds: float) -> list[Result]:
        found = scorecard(50.0, cost_usd=None, node_seconds=ByPart(total=node_seconds))
        return [Result(settings, n, n, f"{settings.label()}-{n}", found) for n in range(10)]

    evidence = weigh([*trials(SLOW, 100), *trials(FAST, 200)])

    assert [(each.quantity, each.verdict) for each in evidence.cost_contrasts] == [("node_seconds", "higher")]


def test_an_objective_with_the_cost_in_it_needs_no_other_look_at_it() -> None:
    trials = [*results(SLOW, TEN, cost=0.6), *results(FAST, TEN, cost=0.6)]

    assert weigh(trials, Objective.parse("cost")).cost_contrasts == ()


def test_chance_does_not_make_a_cost() -> None:
    """Of a hundred sweeps of two equal settings, about five call their costs different."""
    rng = random.Random(7)

    def trials(settings: Settings, first_seed: int) -> list[Result]:
        return [
            Result(settings, n, first_seed + n, "t", card(rng.gauss(50, 5), rng.gauss(1, 0.1))) for n in range(1, 6)
        ]

    evidence = [weigh([*trials(SLOW, 0), *trials(FAST, 100)]) for _ in range(100)]

    assert sum(1 for each in evidence if each.cost_verdict(SLOW.label()) in ("lower", "higher")) <= 10


def test_where_no_cost_is_known_that_is_the_reason() -> None:
    trials = [
        Result(settings, n, n, "t", scorecard(50.0, cost_usd=None)) for settings in (SLOW, FAST) for n in range(3)
    ]
    evidence = weigh(trials, Objective.parse("cost"))

    assert evidence.missing == ("cost_usd",)
    assert no_choice(evidence, ["m5.large"]) == (
        "no setting can be recommended: no cost is known, as there is no price for m5.large; sweep again with "
        "--prices FILE (docs/prices.md), or choose by --objective node_seconds"
    )
    assert no_choice(weigh([invalid(FAST)])) == "no setting can be recommended: no trial is valid"


@pytest.mark.parametrize(("b", "verdict"), [([40.0, 41, 39, 40], "lower"), ([60.0, 61, 59, 60], "higher")])
def test_a_contrast_is_from_the_side_of_b(b: list[float], verdict: str) -> None:
    a = dict(enumerate([50.0, 51, 49, 50]))

    assert contrasts("makespan_s", [(Sample("a", a), Sample("b", dict(enumerate(b, start=50))))])[0].verdict == verdict


def test_of_settings_with_the_same_objective_the_best_is_never_a_dominated_one() -> None:
    evidence = weigh([*results(SLOW, [50.0], cost=2.0), *results(FAST, [50.0], cost=1.0)])
    by_cost = weigh([*results(SLOW, [60.0]), *results(FAST, [50.0])], Objective.parse("cost_usd"))

    assert [evidence.best, by_cost.best] == [FAST.label()] * 2
    assert evidence.best in evidence.front
