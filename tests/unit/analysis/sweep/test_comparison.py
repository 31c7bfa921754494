"""Which settings are held against each other, and when a threshold counts as crossed."""

import pytest

from orchestrator.analysis.sweep.comparison import Condition, Side, compare_sides
from orchestrator.analysis.sweep.evidence import Contrast, Result, Sample, contrasts
from orchestrator.model.scorecard import ByPart
from orchestrator.model.settings import Settings
from tests.support.builders import scorecard

V1_SLOW, V2_SLOW = (Settings(autoscaler=version, upscaling_speed=1) for version in ("v1", "v2"))
V1_FAST, V2_FAST = (Settings(autoscaler=version, upscaling_speed=10) for version in ("v1", "v2"))
MAIN = ("makespan_s", "cost_usd")


def trials(*settings: Settings, makespan: float = 50.0) -> list[Result]:
    """Four repeats of each setting, a second apart."""
    return [
        Result(each, n, n, f"{each.label()}-{n}", scorecard(makespan + n, cost_usd=ByPart(total=1.0)))
        for each in settings
        for n in range(1, 5)
    ]


def side(name: str, results: list[Result], **wanted: object) -> Side:
    return Side.of(name, results, wanted)


# Which pairs


def test_sweeps_are_compared_setting_by_setting() -> None:
    found = compare_sides(side("old", trials(V2_SLOW, V2_FAST)), side("new", trials(V2_FAST, V1_FAST)), MAIN)

    assert [(pair.a, pair.b) for pair in found.pairs] == [(V2_FAST, V2_FAST)]
    assert found.unmatched == (f"only in old: {V2_SLOW.label()}", f"only in new: {V1_FAST.label()}")
    assert [each.quantity for each in found.pairs[0].contrasts] == list(MAIN)


def test_the_knob_by_which_sides_were_chosen_need_not_agree() -> None:
    every = trials(V1_SLOW, V1_FAST, V2_SLOW, V2_FAST)
    found = compare_sides(side("v1", every, autoscaler="v1"), side("v2", every, autoscaler="v2"), MAIN)

    assert [(pair.a, pair.b) for pair in found.pairs] == [(V1_SLOW, V2_SLOW), (V1_FAST, V2_FAST)]
    assert found.unmatched == ()


def test_two_single_settings_are_compared_whatever_they_are() -> None:
    found = compare_sides(side("a", trials(V1_SLOW)), side("b", trials(V2_FAST)), MAIN)

    assert [(pair.a, pair.b) for pair in found.pairs] == [(V1_SLOW, V2_FAST)]


def test_nothing_in_common_is_an_error_that_shows_both_sides() -> None:
    with pytest.raises(ValueError, match="nothing to compare") as refused:
        compare_sides(side("a", trials(V1_SLOW, V1_FAST)), side("b", trials(V2_SLOW, V2_FAST)), MAIN)

    assert V1_SLOW.label() in str(refused.value)
    assert V2_FAST.label() in str(refused.value)


def test_where_several_settings_fit_one_a_choice_is_asked_for() -> None:
    with pytest.raises(ValueError, match="which is to be compared with which"):
        compare_sides(side("a", trials(V2_SLOW), upscaling_speed=1.0), side("b", trials(V2_SLOW, V2_FAST)), MAIN)


def test_a_filter_that_nothing_passes_is_an_error_that_shows_what_there_is() -> None:
    with pytest.raises(ValueError, match="no trial has these settings; there are v2 speed=1"):
        side("a", trials(V2_SLOW), upscaling_speed=7.0)


def test_with_several_pairs_more_evidence_is_asked_for() -> None:
    slower = trials(V2_SLOW, makespan=90.0)
    alone = compare_sides(side("a", trials(V2_SLOW)), side("b", slower), MAIN)
    among = compare_sides(
        side("a", trials(V2_SLOW, V2_FAST)), side("b", [*slower, *trials(V2_FAST, makespan=50.0)]), MAIN
    )

    assert alone.pairs[0].contrasts[0].verdict == "higher"
    assert among.pairs[0].contrasts[0].p_adjusted == 2 * alone.pairs[0].contrasts[0].p_adjusted


def test_a_quantity_that_one_side_does_not_show_is_left_out() -> None:
    found = compare_sides(side("a", trials(V2_SLOW)), side("b", trials(V2_SLOW)), ("makespan_s", "scale_down_s"))

    assert [each.quantity for each in found.pairs[0].contrasts] == ["makespan_s"]


# Thresholds


def shown(a: list[float], b: list[float]) -> Contrast:
    return contrasts("makespan_s", [(Sample("a", dict(enumerate(a))), Sample("b", dict(enumerate(b, start=100))))])[0]


A = [100.0, 101, 99, 100]
TEN_PERCENT_MORE = [110.0, 111, 109, 110]


@pytest.mark.parametrize(
    ("text", "breached"),
    [
        ("makespan_s>+5%", True),
        ("makespan_s > 5 %", True),
        ("makespan>+5", True),
        ("makespan_s>+15%", False),
        ("makespan_s>15", False),
        ("makespan_s>10%", False),  # the interval reaches below
        ("makespan_s<+5%", False),
        ("makespan_s<+15%", True),
        ("makespan_s<-1%", False),
        ("makespan_s>-1e2%", True),
    ],
)
def test_a_threshold_is_breached_if_all_of_the_interval_lies_beyond(text: str, breached: bool) -> None:
    assert Condition.parse(text).breached(shown(A, TEN_PERCENT_MORE)) is breached


def test_two_repeats_breach_nothing_and_keep_nothing() -> None:
    assert Condition.parse("makespan_s>+5%").breached(shown([100.0, 101], [200.0, 201])) is None


def test_no_difference_at_all_breaches_no_sensible_threshold() -> None:
    same = shown([100.0] * 4, [100.0] * 4)

    assert Condition.parse("makespan_s>0").breached(same) is False
    assert Condition.parse("makespan_s>+10%").breached(same) is False


@pytest.mark.parametrize(
    ("text", "column"),
    [
        ("", 1),
        ("makespan_s", 11),
        ("makespan_s>", 12),
        ("makespan_s=5", 11),
        ("makespan_s>>5", 12),
        ("makespan_s>+5%%", 15),
        ("makespan_s>+5 percent", 15),
        (">5%", 1),
        ("makespan_s>nan", 12),
        ("makespan_s>inf", 12),
        ("speed_of_light>5", 1),
        ("  speed>5", 3),
    ],
)
def test_what_is_no_condition_is_said_with_its_place(text: str, column: int) -> None:
    with pytest.raises(ValueError, match=f"^column {column}:"):
        Condition.parse(text)
