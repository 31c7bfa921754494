"""The content of `/metrics`: the running trial, recently ended trials with their scorecards, and the observer.

`Exporter` is a watcher of a sweep and a collector for prometheus-client. `docs/metrics.md` describes the metrics.
"""

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from orchestrator.metrics.catalogue import counter_family, gauge, histogram_family, info
from orchestrator.metrics.reasons import Reasons
from orchestrator.metrics.trial import TrialMetrics
from orchestrator.model.cluster import ClusterShape
from orchestrator.model.events import Event
from orchestrator.model.prices import Prices
from orchestrator.model.quantities import shown_in
from orchestrator.model.scorecard import Scorecard
from orchestrator.model.settings import info_settings
from orchestrator.model.trial import Trial
from orchestrator.observer.observer import Observer

# Long enough for a Prometheus that scrapes every five seconds, such as the stack's.
LINGER_S = 6.0
# The longest wait for a Prometheus that scrapes less often, unless the sweep ends before. Scorecards are exposed for
# this time only: a sweep can have thousands of trials, and a scrape must stay cheap.
LONGEST_LINGER_S = 60.0


@dataclass
class _Leaving:
    """An ended trial (UNIX seconds) whose last values are still exposed."""

    metrics: TrialMetrics
    ended: float
    scraped: bool = False

    def stays(self, now: float) -> bool:
        """Return true if a scrape at `now` still sees the trial: for `LONGEST_LINGER_S`, or `LINGER_S` once scraped."""
        return now - self.ended < (LINGER_S if self.scraped else LONGEST_LINGER_S)


@dataclass(frozen=True)
class Ended:
    """An ended trial (UNIX seconds), and the numbers of its scorecard."""

    ids: dict[str, str]
    setting: str
    repeat: int
    scorecard: Scorecard
    ended: float


class Exporter(Collector):
    """A collector of the running trial's metrics and a watcher of its sweep, see `sweeps.watcher.Watcher`.

    `name` and `created` (UNIX seconds) belong to the sweep. `verdicts` returns the place of each setting in
    `model.verdicts.VERDICTS`, from 1, by label; it is called after each trial. `observer` returns the observer that
    watches the cluster now, if any. Scrapes are thread-safe.
    """

    name = "metrics"

    def __init__(
        self,
        sweep_id: str,
        *,
        name: str = "",
        created: float | None = None,
        prices: Prices | None = None,
        verdicts: Callable[[], Mapping[str, int]] = dict,
        observer: Callable[[], Observer | None] = lambda: None,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.sweep_id = sweep_id
        self._about = about_sweep(name, created)
        self._prices = prices
        self._verdicts = verdicts
        self._verdict_of: Mapping[str, int] = {}
        self._observer = observer
        self._clock = clock
        self._sleep = sleep
        self._lock = threading.Lock()
        self._current: TrialMetrics | None = None
        self._leaving: list[_Leaving] = []
        self._ended: list[Ended] = []
        self._scraped = False

    @property
    def ids(self) -> dict[str, str]:
        """Return the labels that identify what runs now."""
        with self._lock:
            return dict(self._current.ids) if self._current is not None else {"sweep_id": self.sweep_id}

    def lag_s(self) -> float | None:
        """Return the age of the newest poll in seconds; None without an observer."""
        observer = self._observer()
        return None if observer is None or observer.latest is None else self._clock() - observer.latest.t

    def trial_started(self, number: int, total: int, trial: Trial) -> None:
        """Switch the metrics to this trial."""
        self._begin(
            TrialMetrics(
                self.sweep_id,
                trial.trial_id,
                info=_info(trial),
                shape=trial.shape,
                reasons=Reasons(trial),
                prices=self._prices,
                faults=trial.workload.faults,
                head_runs_tasks=trial.shape.head_cpus_for(trial.workload.needs) > 0,
            )
        )

    def watch(self, name: str, shape: ClusterShape | None = None) -> None:
        """Switch the metrics to an observed cluster without trials. `name` takes the place of the trial."""
        self._begin(TrialMetrics(self.sweep_id, name, shape=shape, prices=self._prices))

    def _begin(self, metrics: TrialMetrics) -> None:
        with self._lock:
            self._current = metrics
            # Another attempt at the same trial has the same series.
            self._leaving = [each for each in self._leaving if each.metrics.ids != metrics.ids]

    def event(self, event: Event) -> None:
        """Process an event."""
        with self._lock:
            if self._current is not None:
                self._current.event(event)

    def trial_ended(self, trial: Trial, scorecard: Scorecard | None, reason: str) -> None:
        """End the trial's series after their next scrape, and expose its scorecard for a minute."""
        verdict_of = self._verdicts()
        with self._lock:
            now = self._clock()
            self._leave(now)
            if scorecard is not None:
                self._verdict_of = verdict_of
                ids = {"sweep_id": self.sweep_id, "trial_id": trial.trial_id}
                self._ended.append(Ended(ids, trial.settings.label(), trial.repeat, scorecard, now))

    def _leave(self, now: float) -> None:
        self._forget(now)
        if self._current is not None:
            self._leaving.append(_Leaving(self._current, now))
        self._current = None

    def _forget(self, now: float) -> None:
        self._leaving = [each for each in self._leaving if each.stays(now)]
        self._ended = [each for each in self._ended if now - each.ended < LONGEST_LINGER_S]

    def collect(self) -> Iterator[Metric]:
        """Yield the current metrics."""
        with self._lock:
            now = self._clock()
            self._forget(now)
            shown = [each.metrics.collect(each.ended, active=False) for each in self._leaving]
            if self._current is not None:
                shown.append(self._current.collect(now))
            families = _merged(family for trial in shown for family in trial)
            for each in self._leaving:
                each.scraped = True
            ended = list(self._ended)
            self._scraped = True
        yield from families
        sweep = {"sweep_id": self.sweep_id}
        if self._about and (shown or ended):
            yield info("sweep_info", sweep | self._about)
        if ended:
            yield _scorecards(ended)
            yield _trial_verdicts(ended)
            if self._verdict_of:
                verdicts: dict[tuple[str, ...], float] = {
                    (setting,): float(place) for setting, place in self._verdict_of.items()
                }
                yield gauge("setting_verdict", verdicts, sweep)
        if (observer := self._observer()) is not None:
            yield from _observer_metrics(observer, self.lag_s())

    def end(self) -> None:
        """Mark the end. If a Prometheus scrapes, wait until it has seen the end and the last scorecard.

        An exporter that disappears without this is a fault, see `prometheus/rules/alerts.yml`.
        """
        with self._lock:
            self._leave(self._clock())
            scraped = self._scraped
        if scraped:
            self._sleep(LINGER_S)


def _merged(families: Iterable[Metric]) -> Iterable[Metric]:
    """Return each family once, with the samples of all families of that name, because duplicates are invalid."""
    merged: dict[str, Metric] = {}
    for family in families:
        if (same := merged.setdefault(family.name, family)) is not family:
            same.samples.extend(family.samples)
    return merged.values()


def _scorecards(ended: Sequence[Ended]) -> Metric:
    return _together(_scorecard(each) for each in ended)


def _scorecard(ended: Ended) -> Metric:
    common = (ended.setting, str(ended.repeat), "true" if ended.scorecard.valid else "false")
    return gauge("scorecard", {(*common, name): value for name, value in numbers(ended.scorecard)}, ended.ids)


def _trial_verdicts(ended: Sequence[Ended]) -> Metric:
    return _together(_trial_verdict(each) for each in ended)


def _trial_verdict(ended: Ended) -> Metric:
    key = (ended.setting, str(ended.repeat), "; ".join(ended.scorecard.invalid_because))
    return gauge("trial_verdict", {key: float(ended.scorecard.valid)}, ended.ids)


def _together(families: Iterable[Metric]) -> Metric:
    """Return families of the same name as one."""
    first, *others = families
    for other in others:
        first.samples.extend(other.samples)
    return first


def about_sweep(name: str, created: float | None) -> dict[str, str]:
    """Return the labels of `sweep_info`, or an empty mapping if nothing is known."""
    if created is None:
        return {}
    return {"name": name, "date": datetime.fromtimestamp(created, UTC).strftime("%Y-%m-%d %H:%M")}


def numbers(scorecard: Scorecard) -> Iterator[tuple[str, float]]:
    """Yield name and value of each quantity that the trace shows."""
    for each in shown_in("metrics"):
        if (value := each.value(scorecard)) is not None:
            yield each.name, float(value)


def _observer_metrics(observer: Observer, lag_s: float | None) -> Iterable[Metric]:
    statistics = observer.statistics
    yield histogram_family("observer_poll_seconds", {(): statistics.poll_histogram}, {})
    yield counter_family("observer_errors", {("gcs_unreachable",): float(statistics.errors)}, {})
    if lag_s is not None:
        yield gauge("observer_lag_seconds", {(): max(0.0, lag_s)}, {})


def _info(trial: Trial) -> dict[str, str]:
    chosen = trial.settings
    known = {name: value for name in info_settings() if (value := getattr(chosen, name)) is not None}
    return {
        "backend": trial.backend,
        **{name: value if isinstance(value, str) else f"{value:g}" for name, value in known.items()},
        "workload": trial.workload.describe(),
        "repeat": str(trial.repeat),
        "setting": chosen.label(),
    }
