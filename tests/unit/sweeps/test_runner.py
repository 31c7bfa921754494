"""The runner: every trial becomes a trace and a scorecard, whatever becomes of the others."""

import errno
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.errors import ClusterFailed, InputError, MissingPrerequisite, TrialFailed
from orchestrator.liveness import ProcessMark
from orchestrator.logs import recording
from orchestrator.model.billing import Bill
from orchestrator.model.events import Event
from orchestrator.model.scorecard import Scorecard
from orchestrator.model.spec import SweepSpec
from orchestrator.model.trial import Trial
from orchestrator.sweeps.budget import Budget
from orchestrator.sweeps.folder import SweepFolder
from orchestrator.sweeps.ledger import Ledger, SweepRecord
from orchestrator.sweeps.runner import (
    Runner,
    begin_sweep,
    bill_of,
    check_ended,
    claimed,
    new_sweep_id,
    prices_of,
    running,
    take_over,
)
from orchestrator.trace.file import TraceWriter, read_trace
from tests.support.builders import T0, phase, settings_in_force
from tests.support.prepared_backend import SOUND, Behaviour, PreparedBackend, planned


class Told:
    """A progress that keeps what it is told."""

    name = "told"

    def __init__(self) -> None:
        self.started: list[tuple[int, int, float | None]] = []
        self.events: list[Event] = []
        self.ended: list[tuple[float | None, bool, str]] = []

    def trial_started(self, number: int, total: int, trial: Trial) -> None:
        self.started.append((number, total, trial.settings.upscaling_speed))

    def event(self, event: Event) -> None:
        self.events.append(event)

    def trial_ended(self, trial: Trial, scorecard: Scorecard | None, reason: str) -> None:
        self.ended.append((trial.settings.upscaling_speed, scorecard is not None and scorecard.valid, reason))


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    made = Ledger(f"sqlite:///{tmp_path / 'ledger.db'}")
    yield made
    made.close()


@pytest.fixture
def folder(tmp_path: Path) -> SweepFolder:
    return SweepFolder(tmp_path / "sweeps" / "s")


@pytest.fixture
def sweep_id(ledger: Ledger) -> str:
    """A sweep of three speeds."""
    return begin_sweep(ledger, planned(1, 5, 10))


def at_speed(speed: float, error: BaseException) -> Behaviour:
    """Raise `error` in the trial with this speed."""

    def behave(trial: Trial) -> None:
        if trial.settings.upscaling_speed == speed:
            raise error

    return behave


def statuses(record: SweepRecord) -> list[str]:
    return [trial.status for trial in record.trials]


# A sweep that goes well


def test_every_trial_is_run_in_its_order_and_the_sweep_is_done(
    ledger: Ledger, folder: SweepFolder, sweep_id: str
) -> None:
    backend = PreparedBackend()
    record = Runner(ledger, backend, folder).run(sweep_id)

    assert [trial.settings.upscaling_speed for trial in backend.ran] == [1.0, 5.0, 10.0]
    assert (record.status, statuses(record)) == ("done", ["done"] * 3)
    assert record == ledger.sweep(sweep_id)


def test_every_trial_leaves_a_trace_that_holds_all_of_it(ledger: Ledger, folder: SweepFolder, sweep_id: str) -> None:
    record = Runner(ledger, PreparedBackend(), folder).run(sweep_id)
    trace = read_trace(Path(record.trials[0].trace))

    assert Path(record.trials[0].trace) == folder.trace(record.trials[0].trial)
    assert trace.trial == record.trials[0].trial
    assert trace.context["sweep_id"] == sweep_id
    assert {"orchestrate", "ray", "python", "host"} <= trace.context["environment"].keys()
    assert list(trace.events) == SOUND


def test_every_trial_has_the_scorecard_of_its_trace(ledger: Ledger, folder: SweepFolder, sweep_id: str) -> None:
    record = Runner(ledger, PreparedBackend(), folder).run(sweep_id)
    (makespan,) = {trial.scorecard.makespan_s for trial in record.trials if trial.scorecard}

    assert makespan == 11.0
    assert all(trial.scorecard and trial.scorecard.valid for trial in record.trials)


def test_every_trial_has_a_log_of_its_own(ledger: Ledger, folder: SweepFolder, sweep_id: str) -> None:
    backend = PreparedBackend()
    Runner(ledger, backend, folder).run(sweep_id)

    assert backend.logs == [folder.log(trial) for trial in backend.ran]
    assert len(set(backend.logs)) == 3


def test_the_backend_is_closed_at_the_end(ledger: Ledger, folder: SweepFolder, sweep_id: str) -> None:
    backend = PreparedBackend()
    Runner(ledger, backend, folder).run(sweep_id)

    assert backend.closed == 1


def test_the_ledger_has_all_of_a_sweep_before_its_cluster_is_ended(
    ledger: Ledger, folder: SweepFolder, sweep_id: str
) -> None:
    found: list[SweepRecord] = []
    backend = PreparedBackend()
    backend.at_close = lambda: found.append(ledger.sweep(sweep_id))
    Runner(ledger, backend, folder).run(sweep_id)

    assert [(record.status, statuses(record)) for record in found] == [("done", ["done"] * 3)]


def test_the_progress_is_told_of_each_step(ledger: Ledger, folder: SweepFolder, sweep_id: str) -> None:
    told = Told()
    Runner(ledger, PreparedBackend(), folder, [told]).run(sweep_id)

    assert told.started == [(1, 3, 1.0), (2, 3, 5.0), (3, 3, 10.0)]
    assert told.events == SOUND * 3
    assert told.ended == [(1.0, True, ""), (5.0, True, ""), (10.0, True, "")]


def gone(*_: object) -> None:
    raise OSError("the exporter is gone")


@pytest.mark.parametrize("step", ["trial_started", "event", "trial_ended"])
def test_a_watcher_that_raises_is_a_line_of_the_result_and_a_traceback_in_the_log(
    ledger: Ledger, folder: SweepFolder, sweep_id: str, step: str
) -> None:
    broken, told = Told(), Told()
    broken.name = "metrics"
    setattr(broken, step, gone)
    folder.root.mkdir(parents=True)
    with recording(folder.own_log):
        record = Runner(ledger, PreparedBackend(), folder, [broken, told]).run(sweep_id)
    log = folder.own_log.read_text()

    assert told.events == SOUND * 3
    assert record.status == "done"
    assert record.notes == ("metrics stopped after an error: OSError: the exporter is gone; see orchestrate.log",)
    assert log.count("Traceback (most recent call last)") == 1
    assert log.count("\nOSError: the exporter is gone\n") == 1


def test_a_resumed_sweep_keeps_what_stopped_before(ledger: Ledger, folder: SweepFolder, sweep_id: str) -> None:
    broken = Told()
    setattr(broken, "trial_started", gone)  # noqa: B010 - mypy refuses to assign to a method
    with pytest.raises(KeyboardInterrupt):
        Runner(ledger, PreparedBackend(at_speed(5, KeyboardInterrupt())), folder, [broken]).run(sweep_id)
    before = ledger.sweep(sweep_id)
    take_over(ledger, before)
    record = Runner(ledger, PreparedBackend(), folder, [broken]).run(sweep_id)

    assert len(before.notes) == 1
    assert record.notes == before.notes


def test_an_invalid_trial_is_done_all_the_same(ledger: Ledger, folder: SweepFolder, sweep_id: str) -> None:
    record = Runner(ledger, PreparedBackend(events=SOUND[1:]), folder).run(sweep_id)

    assert statuses(record) == ["done"] * 3
    assert not any(trial.scorecard.valid for trial in record.trials if trial.scorecard)


# A trial that fails


def test_a_trial_that_fails_ends_neither_the_others_nor_its_trace(
    ledger: Ledger, folder: SweepFolder, sweep_id: str
) -> None:
    backend, told = PreparedBackend(at_speed(5, ClusterFailed("the head died"))), Told()
    record = Runner(ledger, backend, folder, [told]).run(sweep_id)
    failed = record.trials[1]

    assert (record.status, statuses(record)) == ("failed", ["done", "failed", "done"])
    assert failed.reason == "the head died"
    assert failed.scorecard is not None
    assert not failed.scorecard.valid
    assert read_trace(Path(failed.trace)).events == (SOUND[0],)
    assert told.ended == [(1.0, True, ""), (5.0, False, "the head died"), (10.0, True, "")]
    assert backend.closed == 1


# Interruptions


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(1), RuntimeError("a bug")])
def test_an_interruption_is_written_down_and_passed_on(
    ledger: Ledger, folder: SweepFolder, sweep_id: str, error: BaseException
) -> None:
    backend = PreparedBackend(at_speed(5, error))
    with pytest.raises(type(error)):
        Runner(ledger, backend, folder).run(sweep_id)
    record = ledger.sweep(sweep_id)

    assert (record.status, statuses(record)) == ("interrupted", ["done", "interrupted", "planned"])
    assert record.ended is not None
    assert backend.closed == 1


def full(*_: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device", "trace.jsonl")


def test_a_full_disk_ends_the_sweep_in_one_line(ledger: Ledger, folder: SweepFolder, sweep_id: str) -> None:
    backend = PreparedBackend(full)
    with pytest.raises(MissingPrerequisite, match=r"no room left to write trace\.jsonl: No space left on device"):
        Runner(ledger, backend, folder).run(sweep_id)

    assert statuses(ledger.sweep(sweep_id)) == ["interrupted", "planned", "planned"]
    assert backend.closed == 1


def test_a_ledger_on_the_full_disk_does_not_hide_why_the_sweep_ended(
    ledger: Ledger, folder: SweepFolder, sweep_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_room(*_: object) -> None:
        raise InputError("the ledger can't be used: database or disk is full")

    monkeypatch.setattr(ledger, "interrupt", no_room)
    with pytest.raises(MissingPrerequisite, match="no room left"):
        Runner(ledger, PreparedBackend(full), folder).run(sweep_id)


def test_a_finished_trial_keeps_its_numbers_through_an_interruption(
    ledger: Ledger, folder: SweepFolder, sweep_id: str
) -> None:
    with pytest.raises(KeyboardInterrupt):
        Runner(ledger, PreparedBackend(at_speed(5, KeyboardInterrupt())), folder).run(sweep_id)
    first = ledger.sweep(sweep_id).trials[0]

    assert first.scorecard is not None
    assert first.scorecard.makespan_s == 11.0


def test_the_backend_is_closed_even_if_it_expects_nothing(
    ledger: Ledger, folder: SweepFolder, sweep_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = PreparedBackend()
    monkeypatch.setattr(backend, "expect", gone)
    with pytest.raises(OSError, match="gone"):
        Runner(ledger, backend, folder).run(sweep_id)

    assert backend.closed == 1
    assert ledger.sweep(sweep_id).status == "interrupted"


# Going on


def test_only_what_is_not_done_is_run_again(ledger: Ledger, folder: SweepFolder, sweep_id: str) -> None:
    with pytest.raises(KeyboardInterrupt):
        Runner(ledger, PreparedBackend(at_speed(5, KeyboardInterrupt())), folder).run(sweep_id)
    before = ledger.sweep(sweep_id).trials[0]
    backend, told = PreparedBackend(), Told()
    record = Runner(ledger, backend, folder, [told]).run(sweep_id)

    assert [trial.settings.upscaling_speed for trial in backend.ran] == [5.0, 10.0]
    assert told.started == [(2, 3, 5.0), (3, 3, 10.0)]
    assert record.status == "done"
    assert record.trials[0] == before


def test_a_trial_that_failed_is_run_again(ledger: Ledger, folder: SweepFolder, sweep_id: str) -> None:
    Runner(ledger, PreparedBackend(at_speed(5, TrialFailed("no luck"))), folder).run(sweep_id)
    record = Runner(ledger, PreparedBackend(), folder).run(sweep_id)

    assert (record.status, record.trials[1].reason) == ("done", "")


def test_the_traces_of_earlier_attempts_are_kept(ledger: Ledger, folder: SweepFolder, sweep_id: str) -> None:
    for moment in (100.0, 200.0):
        attempt = PreparedBackend(at_speed(1, TrialFailed("no luck")), [phase(moment, "starting")])
        Runner(ledger, attempt, folder).run(sweep_id)
    record = Runner(ledger, PreparedBackend(), folder).run(sweep_id)
    path = Path(record.trials[0].trace)
    earlier = [path.with_name(f"{path.stem}.attempt{number}.jsonl") for number in (1, 2)]

    assert [read_trace(kept).events for kept in earlier] == [
        (phase(100.0, "starting"),),
        (phase(200.0, "starting"),),
    ]
    assert list(read_trace(path).events) == SOUND


def test_a_sweep_that_is_done_has_nothing_to_run(ledger: Ledger, folder: SweepFolder, sweep_id: str) -> None:
    Runner(ledger, PreparedBackend(), folder).run(sweep_id)
    backend = PreparedBackend()
    record = Runner(ledger, backend, folder).run(sweep_id)

    assert backend.ran == []
    assert backend.closed == 1
    assert record.status == "done"


# Beginning and taking over


def test_a_new_sweep_holds_its_plan_and_its_process(ledger: Ledger) -> None:
    plan = planned(1, 5)
    record = ledger.sweep(begin_sweep(ledger, plan))

    assert tuple(trial.trial for trial in record.trials) == plan.trials
    assert (record.name, record.backend) == ("night run", "local")
    assert SweepSpec.model_validate(record.spec) == plan.spec
    assert record.environment["process"] == ProcessMark.this_process().as_record()
    json.dumps(record.environment)


def test_a_sweep_id_is_eight_hex_digits_and_never_the_same() -> None:
    ids = {new_sweep_id() for _ in range(100)}

    assert len(ids) == 100
    assert all(len(sweep_id) == 8 and int(sweep_id, 16) >= 0 for sweep_id in ids)


def test_a_sweep_that_still_runs_is_not_resumed(ledger: Ledger, sweep_id: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"still runs, as process {os.getpid()}"):
        check_ended(tmp_path, ledger.sweep(sweep_id))


def test_a_sweep_whose_lock_is_free_has_ended_whatever_its_process_seems_to_be(
    ledger: Ledger, sweep_id: str, tmp_path: Path
) -> None:
    folder = SweepFolder.of(tmp_path, sweep_id)
    folder.root.mkdir(parents=True)
    with claimed(folder):
        assert running(tmp_path, ledger.sweep(sweep_id)) is True

    assert running(tmp_path, ledger.sweep(sweep_id)) is False
    check_ended(tmp_path, ledger.sweep(sweep_id))


def test_a_sweep_is_claimed_by_one_only(folder: SweepFolder) -> None:
    folder.root.mkdir(parents=True)
    with claimed(folder), pytest.raises(InputError, match="sweep s still runs"), claimed(folder):
        pass

    with claimed(folder):
        pass


def test_a_sweep_of_a_machine_that_cannot_be_looked_at_is_resumed_only_if_told(
    ledger: Ledger, sweep_id: str, tmp_path: Path
) -> None:
    ledger.take_over(sweep_id, {"process": {"host": "elsewhere", "pid": 1, "started": T0}})
    with pytest.raises(InputError, match="may still run") as refused:
        check_ended(tmp_path, ledger.sweep(sweep_id))

    assert "clean --force" in (refused.value.hint or "")


@pytest.mark.parametrize(
    "process",
    [
        {},
        {"pid": os.getpid(), "started": T0},
        {"pid": 2**22 + 1, "started": T0},
        {"pid": "x", "started": None},
        {"pid": 1e400, "started": T0},
        ["pid"],
    ],
)
def test_a_sweep_whose_process_is_gone_is_taken_over(
    ledger: Ledger, sweep_id: str, process: dict[str, float], tmp_path: Path
) -> None:
    ledger.take_over(sweep_id, {"process": process})
    check_ended(tmp_path, ledger.sweep(sweep_id))
    take_over(ledger, ledger.sweep(sweep_id))

    assert ledger.sweep(sweep_id).environment["process"]["pid"] == os.getpid()


def test_an_interrupted_sweep_is_taken_over_even_by_the_same_process(ledger: Ledger, sweep_id: str) -> None:
    ledger.set_sweep_status(sweep_id, "interrupted")
    take_over(ledger, ledger.sweep(sweep_id))

    assert ledger.sweep(sweep_id).environment["process"]["pid"] == os.getpid()


def test_a_sweep_keeps_the_prices_that_it_was_planned_with(ledger: Ledger, sweep_id: str) -> None:
    ledger.set_sweep_status(sweep_id, "interrupted")
    before = prices_of(ledger.sweep(sweep_id))
    take_over(ledger, ledger.sweep(sweep_id))

    assert before is not None
    assert before.region == "us-east-1"
    assert prices_of(ledger.sweep(sweep_id)) == before


def test_a_sweep_of_a_version_without_prices_is_scored_without_cost(
    ledger: Ledger, sweep_id: str, folder: SweepFolder
) -> None:
    ledger.take_over(sweep_id, {"process": {}})
    record = Runner(ledger, PreparedBackend(), folder).run(sweep_id)

    assert [trial.scorecard is not None and trial.scorecard.cost_usd for trial in record.trials] == [None] * 3


def test_a_backend_is_told_what_will_be_asked_of_it(ledger: Ledger, sweep_id: str, folder: SweepFolder) -> None:
    first = ledger.sweep(sweep_id).trials[0].trial
    ledger.end_trial(sweep_id, first.trial_id, "done")
    backend = PreparedBackend()
    Runner(ledger, backend, folder).run(sweep_id)

    assert backend.expected == backend.ran
    assert len(backend.ran) == 2


def test_a_trace_without_settings_in_force_is_no_sound_trace() -> None:
    assert SOUND[0] == settings_in_force()


# Once more


def invalidated(ledger: Ledger, folder: SweepFolder, sweep_id: str) -> SweepRecord:
    """Run the sweep, and mark its second trial as invalid."""
    second = Runner(ledger, PreparedBackend(), folder).run(sweep_id).trials[1]
    assert second.scorecard is not None
    card = second.scorecard.model_copy(update={"valid": False, "invalid_because": ("the machine was busy",)})
    ledger.end_trial(sweep_id, second.trial.trial_id, "done", scorecard=card)
    return ledger.sweep(sweep_id)


def test_resuming_repeats_invalid_trials_and_no_other(ledger: Ledger, folder: SweepFolder, sweep_id: str) -> None:
    before = invalidated(ledger, folder, sweep_id)
    backend = PreparedBackend()
    record = Runner(ledger, backend, folder).run(sweep_id)

    assert backend.ran == [before.trials[1].trial]
    assert all(trial.valid for trial in record.trials)
    assert [record.trials[n] for n in (0, 2)] == [before.trials[n] for n in (0, 2)]
    assert len(list(folder.root.glob("*.attempt1.jsonl"))) == 1


def test_invalid_trials_can_be_kept(ledger: Ledger, folder: SweepFolder, sweep_id: str) -> None:
    before = invalidated(ledger, folder, sweep_id)
    backend = PreparedBackend()

    assert Runner(ledger, backend, folder, keep_invalid=True).run(sweep_id) == before
    assert backend.ran == []


def test_resuming_a_finished_sweep_keeps_its_end(ledger: Ledger, folder: SweepFolder, sweep_id: str) -> None:
    before = Runner(ledger, PreparedBackend(), folder).run(sweep_id)

    assert Runner(ledger, PreparedBackend(), folder).run(sweep_id) == before


# Machines that cost money


class Metered(PreparedBackend):
    """A backend each of whose trials costs a dollar, and its end ten cents."""

    spent = 0.0

    def run(self, trial: Trial, trace: TraceWriter, log_path: Path) -> None:
        super().run(trial, trace, log_path)
        self.spent += 1.0

    def close(self) -> None:
        super().close()
        self.spent += 0.1

    def bill(self) -> Bill:
        return Bill(workers_usd=self.spent, machines=len(self.ran))


def test_no_trial_begins_that_could_cross_the_limit(ledger: Ledger, folder: SweepFolder, sweep_id: str) -> None:
    backend = Metered()
    expected = dict.fromkeys((each.trial.trial_id for each in ledger.sweep(sweep_id).trials), 1.0)
    record = Runner(ledger, backend, folder, budget=Budget(2.5, expected, 0.1)).run(sweep_id)

    assert statuses(record) == ["done", "done", "planned"]
    assert (record.status, backend.closed) == ("interrupted", 1)
    (note,) = record.notes
    assert "the next trial is expected to cost $1.00, which could cross the limit of $2.50: $2.00 are spent" in note
    assert f"orchestrate sweep --resume {sweep_id} --max-cost" in note

    record = Runner(ledger, Metered(), folder, budget=Budget(2.5, expected, 0.1)).run(sweep_id)

    assert statuses(record) == ["done", "done", "done"]


def test_what_all_runs_of_a_sweep_cost_is_kept_with_their_ends(
    ledger: Ledger, folder: SweepFolder, sweep_id: str
) -> None:
    record = Runner(ledger, Metered(at_speed(5, KeyboardInterrupt())), folder)
    with pytest.raises(KeyboardInterrupt):
        record.run(sweep_id)

    assert bill_of(ledger.sweep(sweep_id)) == Bill(workers_usd=1.1, machines=2)

    found = bill_of(Runner(ledger, Metered(), folder).run(sweep_id))

    assert found is not None
    assert found.usd == pytest.approx(3.2)
    assert found.machines == 4


def test_a_sweep_that_costs_nothing_has_no_bill(ledger: Ledger, folder: SweepFolder, sweep_id: str) -> None:
    assert bill_of(Runner(ledger, PreparedBackend(), folder, budget=Budget(0.0, {})).run(sweep_id)) is None
