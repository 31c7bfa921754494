"""One row for each setting; only valid trials enter a number."""

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.analysis.sweep.summary import SettingSummary, Spread, summarise
from orchestrator.model.scorecard import ByPart, Quantiles, Scorecard
from orchestrator.model.settings import Settings
from tests.support.builders import scorecard

SLOW, FAST, OTHER = Settings(upscaling_speed=1), Settings(upscaling_speed=10), Settings(upscaling_speed=5)


def invalid(makespan_s: float) -> Scorecard:
    return scorecard(makespan_s, valid=False, invalid_because=("the GCS was restarted",))


def best(rows: list[SettingSummary]) -> list[Settings]:
    return [row.settings for row in rows if row.best]


def test_nothing_has_no_summary() -> None:
    assert summarise([]) == []


def test_each_setting_has_a_row_in_the_order_of_its_first_trial() -> None:
    rows = summarise([(SLOW, None), (FAST, scorecard()), (SLOW, scorecard())])

    assert [(row.settings, row.label, row.trials) for row in rows] == [
        (SLOW, "v2 speed=1", 2),
        (FAST, "v2 speed=10", 1),
    ]


def test_repeats_have_a_median_and_a_spread() -> None:
    (row,) = summarise([(SLOW, scorecard(makespan)) for makespan in (12.0, 10.0, 20.0)])

    assert row.makespan_s == Spread(median=12.0, low=10.0, high=20.0, n=3)


def test_every_number_is_summed_up() -> None:
    card = scorecard(
        10.0,
        time_to_first_node_s=2.0,
        time_to_peak_s=3.0,
        scale_down_s=4.0,
        launches=5,
        peak_nodes=6,
        node_seconds=ByPart(total=7.0),
        cost_usd=ByPart(total=0.5),
        theta_u=1.5,
        theta_o=2.5,
        cpu_utilisation=0.8,
        task_wait_s={"all": Quantiles(p50=1.0, p95=9.0, max=10.0, n=3)},
    )
    (row,) = summarise([(SLOW, card)])
    found = {name: value.median for name, value in row if isinstance(value, Spread)}

    assert found == {
        "makespan_s": 10.0,
        "time_to_first_node_s": 2.0,
        "time_to_peak_s": 3.0,
        "scale_down_s": 4.0,
        "launches": 5.0,
        "peak_nodes": 6.0,
        "node_seconds": 7.0,
        "cost_usd": 0.5,
        "theta_u": 1.5,
        "theta_o": 2.5,
        "cpu_utilisation": 0.8,
        "task_wait_p95_s": 9.0,
    }


def test_an_invalid_trial_is_counted_but_enters_no_number() -> None:
    (row,) = summarise([(SLOW, scorecard(10.0)), (SLOW, invalid(1.0)), (SLOW, None)])

    assert (row.trials, row.valid) == (3, 1)
    assert {value.n for _, value in row if isinstance(value, Spread)} == {1}
    assert row.makespan_s == Spread(median=10.0, low=10.0, high=10.0, n=1)


def test_a_setting_without_a_valid_trial_has_no_number() -> None:
    (row,) = summarise([(SLOW, invalid(1.0)), (SLOW, None)])

    assert row.valid == 0
    assert [value for _, value in row if isinstance(value, Spread)] == []


def test_a_value_that_some_repeats_do_not_show_is_summed_up_over_the_others() -> None:
    (row,) = summarise([(SLOW, scorecard(scale_down_s=4.0)), (SLOW, scorecard(scale_down_s=None))])

    assert row.scale_down_s == Spread(median=4.0, low=4.0, high=4.0, n=1)


# The best setting


def test_the_lowest_median_makespan_is_the_best() -> None:
    slow = [(SLOW, scorecard(makespan)) for makespan in (5.0, 20.0, 21.0)]
    fast = [(FAST, scorecard(makespan)) for makespan in (12.0, 13.0, 14.0)]

    assert best(summarise([*slow, *fast])) == [FAST]


def test_a_single_setting_is_not_the_best_of_anything() -> None:
    assert best(summarise([(SLOW, scorecard()), (SLOW, scorecard())])) == []


def test_a_setting_is_not_the_best_because_the_others_are_invalid() -> None:
    assert best(summarise([(SLOW, scorecard(20.0)), (FAST, invalid(1.0)), (OTHER, None)])) == []


def test_an_invalid_setting_is_never_the_best() -> None:
    assert best(summarise([(SLOW, scorecard(20.0)), (FAST, invalid(1.0)), (OTHER, scorecard(30.0))])) == [SLOW]


def test_settings_that_tie_are_both_the_best() -> None:
    assert best(summarise([(SLOW, scorecard(20.0)), (FAST, scorecard(20.0)), (OTHER, scorecard(30.0))])) == [SLOW, FAST]


cards = st.none() | st.builds(
    lambda makespan, valid: scorecard(makespan, valid=valid), st.floats(0, 1e4), st.booleans()
)


@given(st.lists(st.tuples(st.sampled_from([SLOW, FAST, OTHER]), cards)))
def test_any_summary_accounts_for_every_trial(trials: list[tuple[Settings, Scorecard | None]]) -> None:
    rows = summarise(trials)

    assert sum(row.trials for row in rows) == len(trials)
    assert sum(row.valid for row in rows) == sum(1 for _, card in trials if card is not None and card.valid)
    assert bool(best(rows)) == (sum(1 for row in rows if row.valid) >= 2)
