"""The simulated backend hands trials to an executor in their order, and no more of them than it can take."""

import time
from concurrent.futures import BrokenExecutor, Future
from pathlib import Path

import pytest

from orchestrator.backends.base import Recording
from orchestrator.backends.simulated.backend import SimulatedBackend
from orchestrator.backends.simulated.executors import RunAhead
from orchestrator.errors import InputError, MissingPrerequisite, TrialTimedOut
from orchestrator.lab.parallel import Parallel, automatic, parse_parallel
from orchestrator.model.events import Event
from orchestrator.model.trial import Trial
from orchestrator.trace.file import TraceWriter, read_trace
from tests.support.builders import phase, trial

TRIALS = [trial(upscaling_speed=speed) for speed in range(1, 10)]


class RememberingExecutor:
    """Has each recording at once: one event, or a failure for the trial that is `doomed`."""

    width = 2

    def __init__(self, doomed: Trial | None = None) -> None:
        self.doomed = doomed
        self.begun: list[Trial] = []
        self.closed = 0

    def submit(self, trial: Trial, timeout_s: float) -> Future[Recording]:
        self.begun.append(trial)
        done: Future[Recording] = Future()
        failure = TrialTimedOut("too long", "allow more") if trial == self.doomed else None
        done.set_result(Recording([_event(trial).model_dump_json()], failure))
        return done

    def close(self) -> None:
        self.closed += 1


def _event(trial: Trial) -> Event:
    return phase(TRIALS.index(trial), "done", trial.label())


def _run(backend: SimulatedBackend, trial: Trial, folder: Path) -> tuple[Event, ...]:
    path = folder / f"{trial.trial_id}.jsonl"
    with TraceWriter(path, trial=trial) as trace:
        backend.run(trial, trace, folder / "log")
    return read_trace(path).events


def test_each_trace_is_what_the_executor_recorded_for_that_trial(tmp_path: Path) -> None:
    executor = RememberingExecutor()
    backend = SimulatedBackend(start_executor=lambda: executor)
    backend.expect(TRIALS)

    for each in TRIALS:
        assert _run(backend, each, tmp_path) == (_event(each),)
    assert executor.begun == TRIALS


def test_recordings_that_wait_are_bounded(tmp_path: Path) -> None:
    executor = RememberingExecutor()
    backend = SimulatedBackend(start_executor=lambda: executor)
    backend.expect(TRIALS)
    begun = []
    for each in TRIALS[:3]:
        _run(backend, each, tmp_path)
        begun.append(len(executor.begun))

    assert begun == [4, 5, 6]


def test_a_failure_in_the_executor_is_the_trials_after_all_that_was_recorded(tmp_path: Path) -> None:
    backend = SimulatedBackend(start_executor=lambda: RememberingExecutor(doomed=TRIALS[1]))
    backend.expect(TRIALS)
    _run(backend, TRIALS[0], tmp_path)

    with pytest.raises(TrialTimedOut, match="too long") as failure:
        _run(backend, TRIALS[1], tmp_path)
    assert failure.value.hint == "allow more"
    assert read_trace(tmp_path / f"{TRIALS[1].trial_id}.jsonl").events == (_event(TRIALS[1]),)
    assert _run(backend, TRIALS[2], tmp_path) == (_event(TRIALS[2]),)


@pytest.mark.parametrize(("took_s", "starts"), [(0.01, False), (10.0, True)])
def test_a_lazy_backend_starts_its_executor_when_the_first_trial_took_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, took_s: float, starts: bool
) -> None:
    executor, clock = RememberingExecutor(), iter([0.0, took_s, 0.0, took_s])
    monkeypatch.setattr("orchestrator.simulator.simulation.simulate", lambda *_, **__: None)
    backend = SimulatedBackend(start_executor=lambda: executor, lazy=True)
    backend.expect(TRIALS)
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    _run(backend, TRIALS[0], tmp_path)
    assert executor.begun == []
    _run(backend, TRIALS[1], tmp_path)

    assert bool(executor.begun) == starts


def test_closing_ends_the_executor_once(tmp_path: Path) -> None:
    executor = RememberingExecutor()
    backend = SimulatedBackend(start_executor=lambda: executor)
    backend.close()
    backend.expect(TRIALS)
    _run(backend, TRIALS[0], tmp_path)
    backend.close()
    backend.close()

    assert executor.closed == 1


# --parallel


def test_what_parallel_means() -> None:
    assert parse_parallel(None, None) is None
    assert parse_parallel("3", None) == Parallel(3)
    assert parse_parallel("auto", None) == automatic()
    assert parse_parallel("ray", "127.0.0.1:6379") == Parallel(0, on_ray=True, address="127.0.0.1:6379")
    assert automatic().lazy


@pytest.mark.parametrize("text", ["", "0", "-1", "1.5", "nan", "many", "1e3", "1025", "٣", " 2", "Ray"])
def test_what_parallel_can_not_mean(text: str) -> None:
    with pytest.raises(InputError, match="--parallel"):
        parse_parallel(text, None)


@pytest.mark.parametrize("text", [None, "auto", "2"])
def test_an_address_without_ray_is_an_error(text: str | None) -> None:
    with pytest.raises(InputError, match="--address"):
        parse_parallel(text, "127.0.0.1:6379")


class KilledExecutor(RememberingExecutor):
    """One of its processes is killed: by the kernel, for example, when memory runs out."""

    def __init__(self, *, at_once: bool) -> None:
        super().__init__()
        self._at_once = at_once

    def submit(self, trial: Trial, timeout_s: float) -> Future[Recording]:
        if self._at_once:
            raise BrokenExecutor("a child process terminated abruptly")
        broken: Future[Recording] = Future()
        broken.set_exception(BrokenExecutor("a child process terminated abruptly"))
        return broken


@pytest.mark.parametrize("at_once", [True, False])
def test_a_killed_process_is_one_line_with_the_next_step(at_once: bool) -> None:
    ahead = RunAhead(lambda: KilledExecutor(at_once=at_once), lambda trial: 60.0)
    ahead.expect(TRIALS)
    with pytest.raises(MissingPrerequisite, match="was killed, probably because memory ran out") as refused:
        ahead.recording(TRIALS[0])

    assert refused.value.hint == "use fewer: --parallel 1"
