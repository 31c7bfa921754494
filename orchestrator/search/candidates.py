"""Tries candidates in the simulator: each over the same seeds, here or beside this process."""

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future

from orchestrator.analysis.sweep.summary import summarise
from orchestrator.analysis.trial.score import score
from orchestrator.backends.simulated.backend import default_timeout_s
from orchestrator.backends.simulated.executors import WORTH_AN_ENGINE_S, Engine, Recording, record
from orchestrator.model.events import parse_event
from orchestrator.model.scorecard import Scorecard
from orchestrator.model.settings import Settings
from orchestrator.model.trial import Trial
from orchestrator.search.optimise import Verdict
from orchestrator.sweep.plan import Plan


class Candidates:
    """Judges settings by the trials that a sweep of `repeat` repeats would have: the same shape, workload and seeds.

    The engine that `start_engine` gives computes them; where `hesitate` is set, only once it is clear that so many
    trials as are `expected` are worth it. The verdicts are the same either way.
    """

    def __init__(
        self,
        plan: Plan,
        repeat: int,
        *,
        expected: int,
        start_engine: Callable[[], Engine] | None = None,
        hesitate: bool = False,
    ) -> None:
        self._plan = plan
        self._repeat = repeat
        self._left = expected
        self._start_engine = start_engine
        self._hesitate = hesitate
        self._engine: Engine | None = None

    def __call__(self, batch: Sequence[Settings]) -> Iterator[Verdict]:
        """See `Evaluate`."""
        trials = [trial for settings in batch for trial in self._trials(settings)]
        recordings = self._recordings(trials)
        for settings in batch:
            scored = [self._scored(trial, next(recordings)) for trial in self._trials(settings)]
            (row,) = summarise((settings, card) for card, _ in scored)
            yield Verdict(row, next((reason for card, reason in scored if not card.valid), ""))

    def close(self) -> None:
        """End the engine."""
        if self._engine is not None:
            self._engine.close()
            self._engine = None

    def _trials(self, settings: Settings) -> list[Trial]:
        shape, spec = self._plan.shape.with_settings(settings), self._plan.spec
        return [
            Trial(
                backend="simulated",
                settings=settings,
                shape=shape,
                workload=self._plan.workload,
                repeat=repeat,
                seed=spec.seed + repeat - 1,
            )
            for repeat in range(1, self._repeat + 1)
        ]

    def _recordings(self, trials: Sequence[Trial]) -> Iterator[Recording]:
        """In the order of the trials; no more of them are in memory than keep the engine busy."""
        left, ahead = deque(trials), deque[Future[Recording]]()
        while left or ahead:
            if self._engine is None and self._start_engine is not None and not self._hesitate:
                self._engine = self._start_engine()
            if self._engine is None:
                yield self._recorded_here(left.popleft())
                continue
            while left and len(ahead) < 2 * self._engine.width:
                ahead.append(self._engine.submit(trial := left.popleft(), self._timeout_s(trial)))
            yield ahead.popleft().result()

    def _recorded_here(self, trial: Trial) -> Recording:
        began = time.monotonic()
        recording = record(trial, self._timeout_s(trial))
        self._left -= 1
        if (time.monotonic() - began) * self._left > WORTH_AN_ENGINE_S:
            self._hesitate = False
        return recording

    def _timeout_s(self, trial: Trial) -> float:
        return self._plan.spec.timeout_s or default_timeout_s(trial)

    def _scored(self, trial: Trial, recording: Recording) -> tuple[Scorecard, str]:
        """The scorecard, and why it is invalid."""
        events = sorted((parse_event(line) for line in recording.events), key=lambda event: event.t)
        card = score(trial, events, self._plan.prices)
        return card, recording.failure.message if recording.failure is not None else "; ".join(card.invalid_because)
