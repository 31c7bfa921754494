"""Nothing that costs money begins without the user's consent, and a limit holds."""

import math

import pytest

from orchestrator.errors import InputError
from orchestrator.lab.cost import Consent, agree, budget_of
from orchestrator.model.billing import Bill, Rate, Rates
from orchestrator.replay.cost import Amount, Estimate
from orchestrator.sweeps.budget import Budget
from tests.support.builders import trial

RATES = Rates(head=Rate(machine=0.2), workers={"x86": Rate(machine=0.4)}, source="a list")
ESTIMATE = Estimate(
    {"a": Amount(1.5, 900.0, 17.0, 9000.0), "b": Amount(1.4, 800.0, 16.0, 9000.0)}, 1, ending_usd=0.1, rates=RATES
)
BLIND = Estimate({"a": Amount(None, None, 17.0, 9000.0)}, 1, ending_usd=0.1, rates=RATES)


def test_without_a_terminal_yes_or_a_limit_is_needed() -> None:
    with pytest.raises(InputError, match=r"expected to cost \$2.90, and \$33.00 at worst") as refused:
        agree(ESTIMATE, Consent())

    assert refused.value.hint == "agree with --yes, or set a limit: --max-cost 5"
    assert refused.value.exit_code == 2

    agree(ESTIMATE, Consent(yes=True))
    agree(ESTIMATE, Consent(max_usd=2.0))


def test_on_a_terminal_the_answer_counts() -> None:
    agree(ESTIMATE, Consent(ask=lambda estimate: True))

    with pytest.raises(InputError, match="not agreed to, so nothing was started"):
        agree(ESTIMATE, Consent(ask=lambda estimate: False))


def test_a_limit_below_the_first_trial_is_refused() -> None:
    with pytest.raises(InputError, match=r"--max-cost 1.5: the first trial alone is expected to cost \$1.60"):
        agree(ESTIMATE, Consent(max_usd=1.5, yes=True))


def test_without_a_prediction_a_trial_is_expected_to_cost_the_worst() -> None:
    with pytest.raises(InputError, match=r"\$17.00, and \$17.00 at worst"):
        agree(BLIND, Consent())
    with pytest.raises(InputError, match=r"expected to cost \$17.10"):
        agree(BLIND, Consent(max_usd=10))


def test_a_limit_needs_prices() -> None:
    unknown = Estimate(ESTIMATE.trials, 1, 0.1, RATES, ("x86",))
    with pytest.raises(InputError, match="--max-cost can't hold: x86 have no known price"):
        agree(unknown, Consent(max_usd=10))

    agree(unknown, Consent(yes=True))


@pytest.mark.parametrize("limit", [math.nan, math.inf, -math.inf, 0.0, -5.0])
def test_a_limit_that_is_none_is_refused(limit: float) -> None:
    with pytest.raises(InputError, match=r"--max-cost: .* is no limit"):
        Consent(max_usd=limit).check()


def test_only_a_limit_makes_a_budget() -> None:
    assert budget_of(ESTIMATE, Consent(yes=True)) is None
    assert budget_of(None, Consent(max_usd=5)) is None
    assert budget_of(ESTIMATE, Consent(max_usd=5)) == Budget(5, {"a": 1.5, "b": 1.4}, 0.1)


# The budget


def spent(usd: float) -> Bill:
    return Bill(workers_usd=usd)


def test_a_trial_may_begin_while_it_fits() -> None:
    one = trial()
    budget = Budget(5.0, {one.trial_id: 1.5}, 0.1)

    assert budget.refusal(one, spent(3.4)) is None
    assert budget.refusal(one, spent(3.41)) == (
        "the next trial is expected to cost $1.50, which could cross the limit of $5.00: $3.41 are spent"
    )


def test_a_trial_that_cost_more_raises_the_expectation_of_the_others() -> None:
    one = trial()
    budget = Budget(5.0, {one.trial_id: 1.0})
    budget.begin(spent(0.0))
    budget.end(one, spent(2.0))

    assert budget.refusal(one, spent(2.0)) is None
    assert "expected to cost $2.00" in str(budget.refusal(one, spent(3.5)))


def test_a_trial_that_cost_less_lowers_nothing() -> None:
    one = trial()
    budget = Budget(5.0, {one.trial_id: 1.0})
    budget.begin(spent(0.0))
    budget.end(one, spent(0.2))

    assert budget.refusal(one, spent(4.5)) is not None
