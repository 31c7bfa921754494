"""The cost of a plan before it runs: from the prediction, and at worst."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from orchestrator.backends.live.trial_run import default_timeout_s
from orchestrator.model.billing import Rates
from orchestrator.model.settings import Settings
from orchestrator.model.trial import Trial
from orchestrator.replay.prediction import Foresight
from orchestrator.sweeps.plan import Plan

# Until a cluster is seen to be back at its smallest size, and until its machines have ended.
_SETTLE_S = 30.0
ENDING_S = 90.0
# Ray on the head, and the connection to it.
_CONNECT_S = 30.0
_SLOW = 3


@dataclass(frozen=True)
class Amount:
    """Dollars and seconds, as expected and at worst. `usd` and `seconds` are None without a prediction."""

    usd: float | None
    seconds: float | None
    worst_usd: float
    worst_s: float


@dataclass(frozen=True)
class Estimate:
    """The cost of a plan, with head, disks and addresses. `trials` has an amount for each trial by its id.

    The amount of a trial that needs a new cluster includes its start and its end. `ending_usd` is the cost of ending a
    cluster. `unknown` are node types without a price: the amounts lack them.
    """

    trials: dict[str, Amount]
    clusters: int
    ending_usd: float
    rates: Rates
    unknown: tuple[str, ...] = ()

    @property
    def total(self) -> Amount:
        """The amount for all trials, one after another."""
        amounts = list(self.trials.values())
        return Amount(
            _sum(amount.usd for amount in amounts),
            _sum(amount.seconds for amount in amounts),
            sum(amount.worst_usd for amount in amounts),
            sum(amount.worst_s for amount in amounts),
        )

    def expected_usd(self, trial_id: str) -> float:
        """Return what a trial is expected to cost; the worst without a prediction."""
        amount = self.trials[trial_id]
        return amount.worst_usd if amount.usd is None else amount.usd


def estimate(plan: Plan, rates: Rates, foresight: Foresight | None) -> Estimate:
    """Return the cost of a plan. At worst, each trial takes all the time that it may, with the dearest machines."""
    predicted = {row.settings: row for row in foresight.rows} if foresight is not None else {}
    amounts: dict[str, Amount] = {}
    clusters, before = 0, None
    for trial in plan.trials:
        new = _needs_cluster(before, trial.settings, fresh=plan.spec.isolation == "fresh")
        clusters += new
        row = predicted.get(trial.settings)
        idle_usd = rates.smallest(trial.shape) / 3600
        around_s = _start_s(trial) + ENDING_S if new else 0.0
        limit_s = plan.spec.timeout_s or default_timeout_s(trial)
        worst_s = limit_s + (_SLOW * around_s)
        worst_usd = limit_s * rates.highest(trial.shape) / 3600 + _SLOW * around_s * idle_usd
        usd = seconds = None
        if row is not None and row.makespan_s is not None and row.node_seconds is not None:
            down_s = row.scale_down_s.high if row.scale_down_s is not None else trial.longest_idle_s
            busy_s = row.makespan_s.high + down_s
            seconds = busy_s + _SETTLE_S + around_s
            # The prediction covers the workers until the cluster is back at its smallest size.
            workers = row.cost_usd.high if row.cost_usd is not None else 0.0
            extras = _extras(rates, row.node_seconds.high)
            usd = workers + extras + busy_s * rates.head.expected / 3600 + (_SETTLE_S + around_s) * idle_usd
            worst_usd, worst_s = max(worst_usd, usd), max(worst_s, seconds)
        amounts[trial.trial_id] = Amount(usd, seconds, worst_usd, worst_s)
        before = trial.settings
    ending_usd = ENDING_S * max((rates.smallest(trial.shape) for trial in plan.trials), default=0.0) / 3600
    return Estimate(amounts, clusters, ending_usd, rates, tuple(rates.unknown))


def _extras(rates: Rates, node_seconds: float) -> float:
    """Return the dollars for disks and addresses of workers: at the rate of the type that has the dearest ones."""
    return node_seconds / 3600 * max((rate.extras for rate in rates.workers.values()), default=0.0)


def _needs_cluster(before: Settings | None, settings: Settings, *, fresh: bool) -> bool:
    return before is None or fresh or before.needs_new_monitor(settings)


def _start_s(trial: Trial) -> float:
    """Return the seconds until a cluster is ready: its head, and then the workers of its smallest size."""
    launch = trial.shape.launch
    one = launch.request.expected_s + launch.boot.expected_s + launch.install.expected_s
    return one * (2 if any(trial.shape.baseline.values()) else 1) + _CONNECT_S


def _sum(values: Iterable[float | None]) -> float | None:
    known: Sequence[float | None] = list(values)
    return None if None in known else sum(value for value in known if value is not None)
