"""Which settings the simulator can't tell apart."""

from orchestrator.model.scorecard import ByPart, Scorecard
from orchestrator.model.settings import Settings
from orchestrator.replay.prediction import _alike
from tests.support.builders import scorecard

SLOW, FAST, FASTER = (Settings(upscaling_speed=speed) for speed in (1, 5, 10))


def cards(*makespans: float | None, peak: float = 50) -> list[Scorecard]:
    return [scorecard(makespan, time_to_peak_s=peak) for makespan in makespans]


def test_settings_within_one_update_of_each_other_in_each_seed_are_alike() -> None:
    assert _alike({SLOW: cards(100, 90), FAST: cards(80, 70), FASTER: cards(84.9, 70)}) == ((FAST, FASTER),)


def test_one_seed_in_which_they_differ_by_an_update_tells_them_apart() -> None:
    assert _alike({FAST: cards(80, 70), FASTER: cards(80, 75)}) == ()


def test_a_different_time_to_peak_tells_them_apart() -> None:
    assert _alike({FAST: cards(80), FASTER: cards(80, peak=56)}) == ()


def test_a_different_cost_tells_them_apart() -> None:
    cheap, dear, same = (
        [scorecard(80, time_to_peak_s=50, cost_usd=ByPart(total=usd))] for usd in (0.044, 0.073, 0.0442)
    )

    assert _alike({SLOW: cheap, FAST: dear}) == ()
    assert _alike({SLOW: cheap, FAST: same}) == ((SLOW, FAST),)


def test_without_prices_different_node_seconds_tell_them_apart() -> None:
    few, many = (
        [scorecard(80, time_to_peak_s=50, cost_usd=None, node_seconds=ByPart(total=total))] for total in (416, 687)
    )

    assert _alike({SLOW: few, FAST: many}) == ()


def test_a_trial_that_never_ended_is_like_no_other() -> None:
    assert _alike({FAST: cards(None), FASTER: cards(None)}) == ()


def test_all_may_be_alike() -> None:
    assert _alike({SLOW: cards(80), FAST: cards(81), FASTER: cards(82)}) == ((SLOW, FAST, FASTER),)
