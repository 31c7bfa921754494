"""The cost of a plan before it runs: from the prediction, and at worst."""

from dataclasses import replace

import pytest

from orchestrator.analysis.sweep.summary import summarise
from orchestrator.backends.live.trial_run import default_timeout_s
from orchestrator.model.billing import Rate, Rates
from orchestrator.model.scorecard import ByPart
from orchestrator.replay.cost import ENDING_S, estimate
from orchestrator.replay.prediction import Foresight
from orchestrator.sweeps.plan import Plan
from tests.support.builders import scorecard
from tests.support.prepared_backend import planned

FREE = Rate(machine=0.0)


def rates(plan: Plan, worker: Rate, head: Rate = FREE) -> Rates:
    return Rates(head=head, workers={each.name: worker for each in plan.shape.launchable})


def foresight(plan: Plan, usd: float | None = 2.0) -> Foresight:
    """Each setting takes 600 s, and 300 s to scale down, in which workers run for 7200 s in all."""
    card = scorecard(
        600.0,
        scale_down_s=300.0,
        node_seconds=ByPart(total=7200.0),
        cost_usd=None if usd is None else ByPart(total=usd),
    )
    return Foresight(tuple(summarise((settings, card) for settings in plan.settings)), ())


def test_a_trial_costs_its_workers_its_head_and_the_disks_of_all() -> None:
    plan = planned(1, 5)
    found = estimate(plan, rates(plan, Rate(machine=1.0, extras=0.36), Rate(machine=4.0)), foresight(plan))
    first, second = (found.trials[trial.trial_id] for trial in plan.trials)

    # Workers, then disks for two hours in all, then the head for 900 s; 30 s more for head and smallest cluster.
    idle = found.rates.smallest(plan.shape) / 3600
    assert second.usd == pytest.approx(2.0 + 0.72 + 1.0 + 30 * idle)
    assert second.seconds == pytest.approx(930)
    # Only the first needs a cluster: its start and its end.
    assert first.usd is not None
    assert second.usd is not None
    assert first.seconds is not None
    assert first.usd - second.usd == pytest.approx((first.seconds - 930) * idle)
    assert first.seconds > 930 + ENDING_S
    assert found.clusters == 1


def test_a_fresh_cluster_for_each_trial_costs_more() -> None:
    plan = planned(1, 5)
    fresh = replace(plan, spec=plan.spec.model_copy(update={"isolation": "fresh"}))
    worker = Rate(machine=1.0)
    some, more = (estimate(each, rates(plan, worker), foresight(plan)) for each in (plan, fresh))

    assert (some.clusters, more.clusters) == (1, 2)
    assert some.total.usd is not None
    assert more.total.usd is not None
    assert more.total.usd > some.total.usd


def test_at_worst_all_workers_run_until_the_time_limit() -> None:
    plan = planned(1)
    worker = Rate(machine=0.5, ceiling=2.0)
    found = estimate(plan, rates(plan, worker), None)
    (trial,) = plan.trials
    amount = found.trials[trial.trial_id]
    at_least = default_timeout_s(trial) / 3600 * plan.shape.max_workers * 2.0

    assert (amount.usd, amount.seconds) == (None, None)
    assert amount.worst_usd >= at_least
    assert found.expected_usd(trial.trial_id) == amount.worst_usd


def test_a_time_limit_of_the_user_bounds_the_worst() -> None:
    plan = planned(1)
    short = replace(plan, spec=plan.spec.model_copy(update={"timeout_s": 60.0}))
    worker = Rate(machine=1.0)

    assert estimate(short, rates(plan, worker), None).total.worst_usd < (
        estimate(plan, rates(plan, worker), None).total.worst_usd
    )


def test_the_worst_is_never_less_than_the_expected() -> None:
    plan = planned(1)
    short = replace(plan, spec=plan.spec.model_copy(update={"timeout_s": 1.0}))
    total = estimate(short, rates(plan, Rate(machine=0.1)), foresight(plan, usd=50.0)).total

    assert total.usd is not None
    assert total.worst_usd >= total.usd
    assert total.worst_s >= (total.seconds or 0)


def test_a_missing_price_is_named() -> None:
    plan = planned(1)
    found = estimate(plan, rates(plan, Rate(machine=None)), foresight(plan, usd=None))

    assert found.unknown == tuple(sorted(each.name for each in plan.shape.launchable))


def test_a_total_without_a_prediction_of_each_trial_is_unknown() -> None:
    plan = planned(1, 5)
    half = Foresight(foresight(plan).rows[:1], ())
    total = estimate(plan, rates(plan, Rate(machine=1.0)), half).total

    assert (total.usd, total.seconds) == (None, None)
    assert total.worst_usd > 0
