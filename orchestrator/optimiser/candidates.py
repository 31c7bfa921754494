"""The evaluation of candidates in the simulator, each over the same seeds, in this process or on an executor."""

from collections.abc import Callable, Iterator, Sequence

from orchestrator.analysis.sweep.summary import summarise
from orchestrator.backends.base import Executor, Recording
from orchestrator.backends.registry import SIMULATED
from orchestrator.backends.simulated.backend import default_timeout_s
from orchestrator.backends.simulated.executors import RunAhead, record
from orchestrator.model.events import parse_event
from orchestrator.model.settings import Settings
from orchestrator.model.trial import Trial
from orchestrator.optimiser.optimise import Verdict
from orchestrator.simulator.scored import Scored, scored
from orchestrator.sweeps.plan import Plan


class Candidates:
    """An evaluator of settings, with the trials of a sweep of `repeat` repeats: same shape, workload and seeds.

    The executor that `start_executor` starts records the trials; with `lazy`, only if the `expected` number of trials
    justifies it. The verdicts are the same either way.
    """

    def __init__(
        self,
        plan: Plan,
        repeat: int,
        *,
        expected: int,
        start_executor: Callable[[], Executor] | None = None,
        lazy: bool = False,
    ) -> None:
        self._plan = plan
        self._repeat = repeat
        self._ahead = RunAhead(start_executor, self._timeout_s, lazy=lazy, to_come=expected)

    def __call__(self, batch: Sequence[Settings]) -> Iterator[Verdict]:
        """Return the verdicts on settings, see `Evaluate`."""
        self._ahead.expect([trial for settings in batch for trial in self._trials(settings)])
        for settings in batch:
            found = [self._scored(trial) for trial in self._trials(settings)]
            (row,) = summarise((settings, each.card) for each in found)
            yield Verdict(row, next((each.reason for each in found if not each.card.valid), ""))

    def close(self) -> None:
        """End the executor."""
        self._ahead.close()

    def _trials(self, settings: Settings) -> list[Trial]:
        shape, spec = self._plan.shape.with_settings(settings), self._plan.spec
        return [
            Trial(
                backend=SIMULATED.name,
                settings=settings,
                shape=shape,
                workload=self._plan.workload,
                repeat=repeat,
                seed=spec.seed + repeat - 1,
            )
            for repeat in range(1, self._repeat + 1)
        ]

    def _recording(self, trial: Trial) -> Recording:
        if (found := self._ahead.recording(trial)) is not None:
            return found
        with self._ahead.here():
            return record(trial, self._timeout_s(trial))

    def _timeout_s(self, trial: Trial) -> float:
        return self._plan.spec.timeout_s or default_timeout_s(trial)

    def _scored(self, trial: Trial) -> Scored:
        recording = self._recording(trial)
        return scored(trial, map(parse_event, recording.events), self._plan.prices, recording.failure)
