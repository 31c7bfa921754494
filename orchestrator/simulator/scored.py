"""A trial in virtual time with its scorecard."""

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from orchestrator.analysis.trial.score import score
from orchestrator.errors import TrialFailed
from orchestrator.model.events import Event
from orchestrator.model.latency import NodeLatencies
from orchestrator.model.prices import Prices
from orchestrator.model.scorecard import Scorecard
from orchestrator.model.trial import Trial

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Scored:
    """A simulated trial's events, in the order of their times, and its scorecard; `failure` ended it early."""

    events: tuple[Event, ...]
    card: Scorecard
    failure: TrialFailed | None = None

    @property
    def reason(self) -> str:
        """The reason why the trial is invalid; empty for a valid one."""
        return self.failure.message if self.failure is not None else "; ".join(self.card.invalid_because)


def simulate_and_score(
    trial: Trial,
    *,
    timeout_s: float,
    prices: Prices | None = None,
    latencies: Callable[[str, int], NodeLatencies] | None = None,
) -> Scored:
    """Run a trial in virtual time, as `simulate` does, and score it. A trial that fails is scored too."""
    from orchestrator.simulator.simulation import simulate

    events: list[Event] = []
    failure = None
    try:
        simulate(trial, events.append, timeout_s=timeout_s, latencies=latencies)
    except TrialFailed as error:
        _log.debug("a simulated trial failed", exc_info=True)
        failure = error
    return scored(trial, events, prices, failure)


def scored(
    trial: Trial, events: Iterable[Event], prices: Prices | None = None, failure: TrialFailed | None = None
) -> Scored:
    """Score the events that a simulation emitted."""
    ordered = tuple(sorted(events, key=lambda event: event.t))
    return Scored(ordered, score(trial, ordered, prices), failure)
