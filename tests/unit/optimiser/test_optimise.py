"""The search for the best settings: it finds known optima, is the same each time, and recommends no idle change."""

import math
import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from orchestrator.analysis.sweep.objective import Objective
from orchestrator.analysis.sweep.summary import SettingSummary, Spread
from orchestrator.errors import InputError, TrialFailed
from orchestrator.model.settings import Settings
from orchestrator.model.spec import Axes
from orchestrator.optimiser.optimise import BATCH, TOLERANCE, Optimum, Verdict, optimise
from orchestrator.optimiser.space import Space

REFERENCE = Settings(upscaling_speed=1, idle_timeout_minutes=5)

Numbers = Callable[[Settings], dict[str, float] | None]
"""The medians that a setting would show; None if its trials fail."""


def row(settings: Settings, medians: dict[str, float] | None) -> SettingSummary:
    spreads = {name: Spread(median=value, low=value, high=value, n=3) for name, value in (medians or {}).items()}
    valid = 0 if medians is None else 3
    return SettingSummary(settings=settings, label=settings.label(), trials=3, ended=3, valid=valid, **spreads)


class Fake:
    """Shows what a function says, and remembers what it was asked."""

    def __init__(self, numbers: Numbers) -> None:
        self.numbers = numbers
        self.batches: list[list[Settings]] = []

    def __call__(self, batch: Sequence[Settings]) -> Iterator[Verdict]:
        self.batches.append(list(batch))
        for settings in batch:
            shown = self.numbers(settings)
            yield Verdict(row(settings, shown), "no node came up" if shown is None else "")


def speed(settings: Settings) -> float:
    return settings.upscaling_speed or 1.0


def idle(settings: Settings) -> float:
    return settings.idle_timeout_minutes or 5.0


def bowl(settings: Settings) -> dict[str, float]:
    """Fastest at a speed of 10, cheapest at an idle timeout of 2 minutes."""
    return {
        "makespan_s": 600 + 100 * abs(math.log10(speed(settings) / 10)),
        "cost_usd": 1 + abs(math.log10(idle(settings) / 2)),
    }


def trade_off(settings: Settings) -> dict[str, float]:
    """The faster, the dearer."""
    return {"makespan_s": 1000 / speed(settings), "cost_usd": speed(settings)}


def search(
    numbers: Numbers | Fake, text: str = "makespan + 100*cost", *, candidates: int = 64, seed: int = 0, **axes: Any
) -> Optimum:
    fake = numbers if isinstance(numbers, Fake) else Fake(numbers)
    space = Space.of(Axes.model_validate(axes))
    return optimise(space, REFERENCE, Objective.parse(text), fake, candidates=candidates, seed=seed)


def value(found: Optimum) -> float:
    best = found.value(found.best)
    assert best is not None
    return best


# The answer


@pytest.mark.parametrize("seed", range(3))
def test_a_known_optimum_is_found(seed: int) -> None:
    found = search(bowl, seed=seed)

    assert value(found) < 1.05 * 700 < (found.value(found.reference) or 0)


def test_the_reference_is_tried_first_and_always_shown() -> None:
    fake = Fake(bowl)
    found = search(fake, candidates=20)

    assert fake.batches[0][0] == REFERENCE
    assert found.reference == row(REFERENCE, bowl(REFERENCE))


def test_the_same_seed_gives_the_same_answer_and_another_seed_other_candidates() -> None:
    one, again, other = Fake(bowl), Fake(bowl), Fake(bowl)
    found = [search(one, seed=-7), search(again, seed=-7), search(other, seed=8)]

    assert found[0].best == found[1].best
    assert found[0].front == found[1].front
    assert one.batches == again.batches != other.batches


def test_no_setting_is_tried_twice_and_batches_have_one_size() -> None:
    fake = Fake(lambda settings: {"makespan_s": float(settings.max_workers or 0), "cost_usd": 1.0})
    found = search(fake, "makespan", candidates=50, upscaling_speed=2, idle_timeout_minutes=3, max_workers=[1, 4])
    tried = [settings for batch in fake.batches for settings in batch]

    assert len(tried) == len(set(tried)) == found.evaluated == 5
    assert all(len(batch) <= BATCH for batch in fake.batches)
    assert found.best.settings.max_workers == 1


def test_values_can_be_typed() -> None:
    fake = Fake(bowl)
    search(fake, candidates=30, upscaling_speed=[0.12345, 7.6543])

    for settings in (each for batch in fake.batches for each in batch):
        assert 0.12345 <= speed(settings) <= 7.6543
        assert speed(settings) in (0.12345, 7.6543, float(f"{speed(settings):.3g}"))
        assert idle(settings) == float(f"{idle(settings):.3g}")


def test_progress_is_told_up_to_the_last_candidate() -> None:
    told: list[tuple[int, float | None]] = []
    space = Space.of(Axes())
    objective = Objective.parse("makespan")
    optimise(
        space,
        REFERENCE,
        objective,
        Fake(bowl),
        candidates=20,
        seed=0,
        tell=lambda tried, low: told.append((tried, low)),
    )
    lows = [low for _, low in told if low is not None]

    assert [tried for tried, _ in told] == list(range(1, 21))
    assert lows == sorted(lows, reverse=True)
    assert lows[0] == bowl(REFERENCE)["makespan_s"]


# No change that brings nothing


def test_a_knob_that_does_not_matter_keeps_the_references_value() -> None:
    found = search(lambda settings: {"makespan_s": 100.0, "cost_usd": idle(settings)}, "cost")

    assert found.best.settings.upscaling_speed == REFERENCE.upscaling_speed
    assert idle(found.best.settings) < 0.15


def test_where_nothing_matters_the_reference_is_best() -> None:
    found = search(lambda _: {"makespan_s": 100.0, "cost_usd": 1.0}, autoscaler=["v1", "v2"])

    assert found.best == found.reference
    assert found.front == (found.reference,)


def test_a_gain_below_the_tolerance_is_no_gain() -> None:
    def numbers(settings: Settings) -> dict[str, float]:
        return {"makespan_s": 1000.0 if settings == REFERENCE else 1000 * (1 - TOLERANCE / 2), "cost_usd": 1.0}

    assert search(numbers, "makespan").best.settings == REFERENCE


def test_a_setting_that_another_beats_in_time_and_cost_is_not_best() -> None:
    """A high speed is faster, and cheaper by less than the tolerance: the plainer setting isn't worth its slowness."""

    def numbers(settings: Settings) -> dict[str, float]:
        fast = speed(settings) > 2
        return {
            "makespan_s": 580.0 if fast else 600.0,
            "cost_usd": 1 + abs(math.log10(idle(settings) / 2)) - (0.001 if fast else 0.0),
        }

    found = search(numbers, "cost")
    makespan, cost = (numbers(found.best.settings)[name] for name in ("makespan_s", "cost_usd"))

    assert makespan == 580.0
    for each in found.front:
        shown = numbers(each.settings)
        assert shown["makespan_s"] >= makespan or shown["cost_usd"] >= cost
        assert shown["cost_usd"] >= cost or shown["makespan_s"] > makespan


@given(st.integers(0, 2**32), st.sampled_from(["makespan", "cost", "makespan_s + 100*cost_usd"]))
@examples(deadline=None, max_examples=25)
def test_no_setting_that_was_tried_beats_the_best(seed: int, objective: str) -> None:
    def numbers(settings: Settings) -> dict[str, float]:
        rng = random.Random(f"{seed} {settings.label()}")
        return {"makespan_s": 1000 + rng.randrange(8), "cost_usd": 10 + rng.randrange(8) / 100}

    fake = Fake(numbers)
    found = search(fake, objective, candidates=20, seed=seed)
    own = numbers(found.best.settings)
    least = 1 - TOLERANCE if found.best.settings == REFERENCE else 1.0
    tried = [numbers(settings) for batch in fake.batches for settings in batch]

    assert not any(
        all(each[name] <= own[name] for name in own) and any(each[name] < own[name] * least for name in own)
        for each in tried
    )


def test_the_study_holds_every_setting_that_was_tried() -> None:
    kept: list[tuple[Any, Optimum | None]] = []
    fake = Fake(bowl)
    found = optimise(
        Space.of(Axes()),
        REFERENCE,
        Objective.parse("cost"),
        fake,
        candidates=16,
        seed=0,
        keep=lambda study, optimum: kept.append((study, optimum)),
    )
    ((study, optimum),) = kept
    tried = {settings.label() for batch in fake.batches for settings in batch}

    assert optimum == found
    assert {trial.user_attrs["setting"] for trial in study.trials} == tried
    assert [direction.name for direction in study.directions] == ["MINIMIZE"] * 2


def test_a_search_that_ends_early_keeps_what_it_tried() -> None:
    kept: list[tuple[Any, Optimum | None]] = []

    def evaluate(batch: Sequence[Settings]) -> Iterator[Verdict]:
        if len(kept_batches) == 1:
            raise KeyboardInterrupt
        kept_batches.append(list(batch))
        yield from Fake(bowl)(batch)

    kept_batches: list[list[Settings]] = []
    with pytest.raises(KeyboardInterrupt):
        optimise(
            Space.of(Axes()),
            REFERENCE,
            Objective.parse("cost"),
            evaluate,
            candidates=16,
            seed=0,
            keep=lambda study, optimum: kept.append((study, optimum)),
        )
    ((study, optimum),) = kept

    assert optimum is None
    assert sum(1 for trial in study.trials if trial.state.is_finished()) == BATCH


def test_a_speed_that_the_cluster_file_leaves_open_stays_open_if_it_does_not_matter() -> None:
    reference = Settings(idle_timeout_minutes=5)
    fake = Fake(lambda settings: {"makespan_s": 100.0, "cost_usd": idle(settings)})
    found = optimise(Space.of(Axes()), reference, Objective.parse("cost"), fake, candidates=32, seed=0)

    assert found.best.settings.upscaling_speed is None


def test_a_reference_outside_of_the_space_is_shown_but_never_best() -> None:
    def numbers(settings: Settings) -> dict[str, float]:
        return {"makespan_s": speed(settings), "cost_usd": speed(settings)}

    found = search(numbers, "cost", candidates=16, upscaling_speed=[5, 10])

    assert found.reference.settings == REFERENCE
    assert speed(found.best.settings) >= 5
    assert REFERENCE not in [each.settings for each in found.front]
    with pytest.raises(InputError, match="only the reference"):
        search(numbers, "cost", candidates=1, upscaling_speed=[5, 10])


# The front


def test_the_front_shows_the_trade_off_from_fast_to_cheap() -> None:
    front = [each.settings for each in search(trade_off, "cost").front]

    assert len(front) > 20
    assert [speed(settings) for settings in front] == sorted(map(speed, front), reverse=True)


@given(st.integers(0, 2**32), st.integers(2, 12), st.booleans())
@examples(deadline=None, max_examples=25)
def test_the_front_holds_what_nothing_tried_dominates_and_nothing_else(seed: int, levels: int, failures: bool) -> None:
    def numbers(settings: Settings) -> dict[str, float] | None:
        rng = random.Random(f"{seed} {settings.label()}")
        fails = failures and settings != REFERENCE and rng.random() < 0.3
        return None if fails else {"makespan_s": rng.randrange(levels) + 1.0, "cost_usd": rng.randrange(levels) + 1.0}

    fake = Fake(numbers)
    found = search(fake, candidates=20, seed=seed)
    shown = (numbers(settings) for batch in fake.batches for settings in batch)
    tried = [(each["makespan_s"], each["cost_usd"]) for each in shown if each is not None]
    front = [
        (each.makespan_s.median, each.cost_usd.median) for each in found.front if each.makespan_s and each.cost_usd
    ]

    assert len(front) == len(found.front) == len(set(front))
    assert front == sorted(front)
    assert set(front) == {
        point for point in tried if not any(a <= point[0] and b <= point[1] and (a, b) != point for a, b in tried)
    }
    assert value(found) <= min(a + 100 * b for a, b in tried) * (1 + TOLERANCE)


def test_without_a_cost_the_front_is_against_node_seconds() -> None:
    fake = Fake(lambda settings: {"makespan_s": 1000 / speed(settings), "node_seconds": speed(settings)})
    found = optimise(
        Space.of(Axes()),
        REFERENCE,
        Objective.parse("makespan"),
        fake,
        candidates=24,
        seed=0,
        against="node_seconds",
    )

    assert len(found.front) > 5


# What can't be judged


def test_settings_that_fail_are_counted_and_never_win() -> None:
    found = search(lambda settings: None if speed(settings) < 3 else trade_off(settings), "cost")

    assert 0 < found.infeasible < found.evaluated
    assert 3 <= speed(found.best.settings) < 4
    assert found.value(found.reference) is None
    assert all(speed(each.settings) >= 3 for each in found.front)


def test_a_setting_with_one_invalid_trial_is_not_judged() -> None:
    def evaluate(batch: Sequence[Settings]) -> Iterator[Verdict]:
        for settings in batch:
            shown = row(settings, {"makespan_s": speed(settings), "cost_usd": 1.0})
            yield Verdict(shown if speed(settings) >= 1 else shown.model_copy(update={"valid": 2}), "lost")

    found = optimise(Space.of(Axes()), REFERENCE, Objective.parse("makespan"), evaluate, candidates=32, seed=0)

    assert found.best.settings == REFERENCE


def test_where_everything_fails_the_reason_is_told() -> None:
    with pytest.raises(TrialFailed, match=r"v2 speed=1 idle=5: no node came up"):
        search(lambda _: None, candidates=10)


def test_an_objective_without_a_value_anywhere_is_the_users_fault() -> None:
    with pytest.raises(InputError, match="no value for any setting"):
        search(bowl, "1 / (cost - cost)", candidates=10)


def test_a_setting_without_a_value_may_still_be_on_the_front() -> None:
    found = search(trade_off, "cost / max(0, makespan - 100)", candidates=32)

    assert any(found.value(each) is None for each in found.front)
    assert found.value(found.best) is not None


# The space


def test_several_values_are_bounds_and_a_single_one_is_fixed() -> None:
    axes = Axes(idle_timeout_minutes=(3,), max_workers=(8, 2, 5), update_interval_s=(5,))
    space = Space.of(axes)

    assert [(knob.name, knob.low, knob.high) for knob in space.knobs] == [
        ("upscaling_speed", 0.1, 100),
        ("max_workers", 2, 8),
    ]
    assert space.fixed == {"idle_timeout_minutes": 3, "update_interval_s": 5}
    assert space.autoscalers == ("v2",)


def test_whole_numbers_stay_whole() -> None:
    fake = Fake(bowl)
    search(fake, candidates=16, max_concurrent_launches=[1, 1000])

    assert len({settings.max_concurrent_launches for batch in fake.batches for settings in batch}) > 5


def test_both_versions_are_tried_if_both_are_given() -> None:
    fake = Fake(bowl)
    search(fake, candidates=24, autoscaler=["v1", "v2"])

    assert {settings.autoscaler for batch in fake.batches for settings in batch} == {"v1", "v2"}


@pytest.mark.parametrize(
    ("axes", "said"),
    [
        ({"upscaling_speed": [1], "idle_timeout_minutes": [5]}, "nothing to search"),
        ({"autoscaler": ["v1"], "target_utilization_fraction": [0.5, 0.8]}, "1/f - 1"),
    ],
)
def test_a_space_without_a_choice_is_refused(axes: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        Space.of(Axes.model_validate(axes))


@given(st.floats(0.1, 100), st.floats(0.1, 30), st.integers(1, 9))
def test_parameters_and_settings_are_each_others_inverse(speed: float, idle: float, workers: int) -> None:
    space = Space.of(Axes(autoscaler=("v1", "v2"), max_workers=(1, 9), update_interval_s=(10,)))
    parameters = {"autoscaler": "v1", "upscaling_speed": speed, "idle_timeout_minutes": idle, "max_workers": workers}
    settings = space.settings(parameters)

    assert space.allows(settings)
    assert settings.update_interval_s == 10
    assert space.settings(space.parameters(settings) or {}) == settings
    assert space.distance(settings, settings) == 0
