"""Recording rules over a trial that was pushed: whose series they are, and where these end."""

from orchestrator.assets import bundled
from orchestrator.prometheus.client import Prometheus, RangeSeries
from orchestrator.prometheus.recording_rules import Rule, recorded, recording_rules, with_ends
from orchestrator.prometheus.remote_write import STALE, labels_of
from orchestrator.prometheus.samples import STEP_S

RULE = Rule("trial:nodes:sum", "sum by (sweep_id, trial_id) (nodes)")


class Answering(Prometheus):
    """Gives these series to each range query, and keeps the ranges."""

    def __init__(self, *series: RangeSeries) -> None:
        super().__init__("http://nowhere")
        self.series = series
        self.asked: list[tuple[float, float]] = []

    def over(self, expression: str, begin: float, end: float, step_s: float) -> list[RangeSeries]:
        self.asked.append((begin, end))
        return list(self.series)


def series(trial_id: str, *times: float) -> RangeSeries:
    """As the API gives it, with the value 1 at these times."""
    return {"metric": {"sweep_id": "s", "trial_id": trial_id}, "values": [(t, 1.0) for t in times]}


def test_only_the_trials_own_series_are_recorded() -> None:
    """A sweep that runs meanwhile is in what the rule gives, too."""
    answering = Answering(series("mine", 0, 5, 10), series("foreign", 0, 5, 10))
    found = recorded(answering, RULE, ("s", "mine"), 0, 100)

    assert set(found) == {labels_of("trial:nodes:sum", {"sweep_id": "s", "trial_id": "mine"})}


def test_a_series_ends_where_it_has_no_value_and_begins_again() -> None:
    ended = with_ends([(0.0, 1.0), (5.0, 1.0), (20.0, 2.0), (25.0, 2.0)], 100.0)

    assert repr(ended) == repr([(0.0, 1.0), (5.0, 1.0), (10.0, STALE), (20.0, 2.0), (25.0, 2.0), (30.0, STALE)])


def test_a_series_that_goes_on_to_the_last_step_is_not_ended() -> None:
    assert with_ends([(0, 1), (5, 1), (10, 1)], 12) == [(0, 1), (5, 1), (10, 1)]


def test_only_the_trials_own_span_is_asked_for_in_parts_on_one_grid() -> None:
    """A server gives 11 000 points of a series at most."""
    answering = Answering()
    recorded(answering, RULE, ("s", "a"), 1000.0, 1000.0 + 25_000 * STEP_S)
    begins, ends = zip(*answering.asked, strict=True)

    assert begins[0] == 1000
    assert ends[-1] == 1000 + 25_000 * STEP_S
    assert all((end - begin) / STEP_S < 11_000 for begin, end in answering.asked)
    assert [begin - STEP_S for begin in begins[1:]] == list(ends[:-1])


def test_the_rules_stand_in_the_order_of_the_file() -> None:
    names = [rule.record for rule in recording_rules(bundled("prometheus/rules/recording.yml"))]

    assert names.index("trial_arch:orchestrator_cpu_used_cores:sum") < names.index(
        "trial_arch:orchestrator_cpu_used:ratio"
    )
