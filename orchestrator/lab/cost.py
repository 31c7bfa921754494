"""The cost of a sweep on machines that cost money: estimated before, agreed to, and limited."""

import logging
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from orchestrator.errors import InputError, MissingPrerequisite
from orchestrator.lab.progress import Reporter

if TYPE_CHECKING:
    from orchestrator.replay.cost import Estimate
    from orchestrator.replay.prediction import Foresight
    from orchestrator.sweeps.budget import Budget
    from orchestrator.sweeps.plan import Plan

_log = logging.getLogger(__name__)

Ask = Callable[["Estimate"], bool]


@dataclass(frozen=True)
class Consent:
    """The user's agreement to costs: `yes`, a limit in dollars, or `ask`, which shows an estimate and asks."""

    yes: bool = False
    max_usd: float | None = None
    ask: Ask | None = None

    def check(self) -> "Consent":
        """Return the same. Raises InputError for a limit that is none."""
        limit = self.max_usd
        if limit is not None and not (math.isfinite(limit) and limit > 0):
            raise InputError(f"--max-cost: {limit:g} is no limit", "give dollars above 0, such as --max-cost 5")
        return self


def estimate_cost(plan: "Plan", reporter: Reporter, foresight: "Foresight | None" = None) -> "Estimate | None":
    """Return the cost of a plan, from a prediction that is made unless it is given; None if nothing costs money."""
    if plan.rates is None:
        return None
    from orchestrator.replay.cost import estimate
    from orchestrator.replay.prediction import foresee

    if foresight is None:
        try:
            with reporter.working("simulating the plan…"):
                foresight = foresee(plan)
        except MissingPrerequisite as error:
            _log.info("no prediction", exc_info=True)
            reporter.say(f"note: no prediction, so the cost is the worst case: {error.message}")
    return estimate(plan, plan.rates, foresight)


def agree(estimate: "Estimate", consent: Consent) -> None:
    """Return if the user agrees to the cost of a sweep. Raises InputError otherwise; nothing was started then."""
    total, limit = estimate.total, consent.max_usd
    if limit is not None:
        if estimate.unknown:
            raise InputError(
                f"--max-cost can't hold: {', '.join(estimate.unknown)} have no known price",
                "add their prices with --prices FILE: see docs/prices.md",
            )
        first = estimate.expected_usd(next(iter(estimate.trials))) + estimate.ending_usd
        if first > limit:
            raise InputError(
                f"--max-cost {limit:g}: the first trial alone is expected to cost ${first:.2f}",
                "allow more, or make it cheaper with --tasks, --task-seconds or fewer max_workers",
            )
        return
    if consent.yes:
        return
    expected = total.worst_usd if total.usd is None else total.usd
    if consent.ask is None:
        raise InputError(
            f"this sweep is expected to cost ${expected:.2f}, and ${total.worst_usd:.2f} at worst",
            "agree with --yes, or set a limit: --max-cost 5",
        )
    if not consent.ask(estimate):
        raise InputError("not agreed to, so nothing was started", "see what it would do: --dry-run")


def budget_of(estimate: "Estimate | None", consent: Consent) -> "Budget | None":
    """Return the limit that the runner holds."""
    if estimate is None or consent.max_usd is None:
        return None
    from orchestrator.sweeps.budget import Budget

    expected = {trial_id: estimate.expected_usd(trial_id) for trial_id in estimate.trials}
    return Budget(consent.max_usd, expected, estimate.ending_usd)
