"""The ledger on SQLite: what was written is found again, by whatever part of its id."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine

from orchestrator.errors import InputError, UnknownId
from orchestrator.model.trial import Trial
from orchestrator.sweeps import ledger as ledger_module
from orchestrator.sweeps.ledger import Ledger
from tests.support.builders import scorecard, trial

FIRST, SECOND = trial(upscaling_speed=1), trial(upscaling_speed=5)


class Clock:
    """Each look at it is a second later."""

    def __init__(self) -> None:
        self.now = 1000.0

    def time(self) -> float:
        self.now += 1
        return self.now


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(ledger_module, "time", made)
    return made


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'ledger.db'}"


@pytest.fixture
def ledger(url: str) -> Iterator[Ledger]:
    made = Ledger(url)
    yield made
    made.close()


def add(
    ledger: Ledger, sweep_id: str, *trials: Trial, environment: dict[str, Any] | None = None, name: str = ""
) -> None:
    ledger.add_sweep(
        sweep_id,
        trials or (FIRST, SECOND),
        name=name,
        backend="local",
        spec={"repeat": 1},
        environment=environment or {},
    )


# A sweep's life


def test_a_new_sweep_runs_and_its_trials_are_planned(ledger: Ledger) -> None:
    add(ledger, "aaaa0001", name="night run")
    record = ledger.sweep("aaaa0001")

    assert (record.name, record.backend, record.status, record.ended) == ("night run", "local", "running", None)
    assert record.spec == {"repeat": 1}
    assert [(row.trial, row.status, row.trace, row.scorecard) for row in record.trials] == [
        (FIRST, "planned", "", None),
        (SECOND, "planned", "", None),
    ]


def test_a_trial_that_begins_is_running(ledger: Ledger) -> None:
    add(ledger, "aaaa0001")
    ledger.start_trial("aaaa0001", FIRST.trial_id, "traces/1.jsonl")
    row, other = ledger.sweep("aaaa0001").trials

    assert (row.status, row.trace, row.ended) == ("running", "traces/1.jsonl", None)
    assert row.started is not None
    assert other.status == "planned"


def test_a_trial_that_ends_has_its_scorecard(ledger: Ledger) -> None:
    add(ledger, "aaaa0001")
    ledger.start_trial("aaaa0001", FIRST.trial_id, "traces/1.jsonl")
    ledger.end_trial("aaaa0001", FIRST.trial_id, "done", "", scorecard(12.5))
    row = ledger.sweep("aaaa0001").trials[0]

    assert (row.status, row.reason, row.scorecard) == ("done", "", scorecard(12.5))
    assert row.started is not None
    assert row.ended is not None
    assert row.started < row.ended


def test_a_trial_that_failed_has_its_reason(ledger: Ledger) -> None:
    add(ledger, "aaaa0001")
    ledger.end_trial("aaaa0001", FIRST.trial_id, "failed", "the head died")
    row = ledger.sweep("aaaa0001").trials[0]

    assert (row.status, row.reason, row.scorecard) == ("failed", "the head died", None)


def test_a_trial_that_begins_again_has_nothing_of_its_earlier_attempt(ledger: Ledger) -> None:
    add(ledger, "aaaa0001")
    ledger.end_trial("aaaa0001", FIRST.trial_id, "failed", "the head died", scorecard())
    ledger.start_trial("aaaa0001", FIRST.trial_id, "traces/1.jsonl")
    row = ledger.sweep("aaaa0001").trials[0]

    assert (row.status, row.reason, row.ended, row.scorecard) == ("running", "", None, None)


def test_a_sweep_that_ends_has_a_time_until_it_goes_on(ledger: Ledger) -> None:
    add(ledger, "aaaa0001")
    ledger.set_sweep_status("aaaa0001", "interrupted")
    interrupted = ledger.sweep("aaaa0001")
    ledger.set_sweep_status("aaaa0001", "running")
    goes_on = ledger.sweep("aaaa0001")

    assert interrupted.ended is not None
    assert (goes_on.status, goes_on.ended) == ("running", None)


def test_each_step_is_on_disk_at_once(ledger: Ledger, url: str) -> None:
    add(ledger, "aaaa0001")
    ledger.end_trial("aaaa0001", FIRST.trial_id, "done", "", scorecard())
    other = Ledger(url)
    found = other.sweep("aaaa0001")
    other.close()

    assert found == ledger.sweep("aaaa0001")


def test_trials_keep_the_order_of_the_plan(ledger: Ledger) -> None:
    trials = [trial(upscaling_speed=speed) for speed in (9, 1, 5, 3)]
    add(ledger, "aaaa0001", *trials)

    assert [row.trial for row in ledger.sweep("aaaa0001").trials] == trials


def test_sweeps_are_listed_with_the_newest_first(ledger: Ledger) -> None:
    for sweep_id in ("bbbb", "aaaa", "cccc"):
        add(ledger, sweep_id)

    assert [record.sweep_id for record in ledger.sweeps()] == ["cccc", "aaaa", "bbbb"]


def test_an_empty_ledger_lists_nothing(ledger: Ledger) -> None:
    assert ledger.sweeps() == []


def test_a_sweep_is_taken_over_with_a_new_environment(ledger: Ledger) -> None:
    add(ledger, "aaaa0001", environment={"process": {"pid": 1}})
    ledger.take_over("aaaa0001", {"process": {"pid": 2}})

    assert ledger.sweep("aaaa0001").environment == {"process": {"pid": 2}}


@pytest.mark.parametrize("sweep_id", ["none", ""])
def test_a_sweep_that_is_not_there_is_bad_input(ledger: Ledger, sweep_id: str) -> None:
    with pytest.raises(InputError):
        ledger.sweep(sweep_id)


# Finding


@pytest.fixture
def filled(ledger: Ledger) -> Ledger:
    add(ledger, "aaaa0001", FIRST)
    add(ledger, "aaaa0002", SECOND)
    add(ledger, "bbbb0003", FIRST, SECOND)
    return ledger


def found(ledger: Ledger, wanted: str) -> tuple[str, str | None]:
    sweep, row = ledger.find(wanted)
    return sweep.sweep_id, row.trial.trial_id if row else None


@pytest.mark.parametrize(
    ("wanted", "sweep_id"),
    [
        ("aaaa0001", "aaaa0001"),
        ("b", "bbbb0003"),
        ("bbbb", "bbbb0003"),
        ("@last", "bbbb0003"),
        ("bbbb/", "bbbb0003"),
    ],
)
def test_a_sweep_is_found_by_a_unique_beginning(filled: Ledger, wanted: str, sweep_id: str) -> None:
    assert found(filled, wanted) == (sweep_id, None)


def test_a_trial_is_found_in_its_sweep(filled: Ledger) -> None:
    assert found(filled, f"aaaa0001/{FIRST.trial_id}") == ("aaaa0001", FIRST.trial_id)
    assert found(filled, f"aaaa0001/{FIRST.trial_id[:4]}") == ("aaaa0001", FIRST.trial_id)
    assert found(filled, f"@last/{SECOND.trial_id}") == ("bbbb0003", SECOND.trial_id)


def test_a_trial_of_several_sweeps_is_meant_in_the_newest(filled: Ledger) -> None:
    assert found(filled, FIRST.trial_id) == ("bbbb0003", FIRST.trial_id)
    assert found(filled, FIRST.trial_id[:6]) == ("bbbb0003", FIRST.trial_id)


def test_a_whole_id_is_meant_even_if_it_begins_another(ledger: Ledger) -> None:
    add(ledger, "aaaa", FIRST)
    add(ledger, "aaaa0001", SECOND)

    assert found(ledger, "aaaa") == ("aaaa", None)


@pytest.mark.parametrize("wanted", ["zzzz", "", "/", "@first", "aaaa0001/zzzz", f"aaaa0001/{SECOND.trial_id}"])
def test_an_id_that_is_none_is_refused(filled: Ledger, wanted: str) -> None:
    with pytest.raises(UnknownId) as refused:
        filled.find(wanted)

    assert refused.value.exit_code == 2
    assert repr(wanted) in refused.value.message
    assert refused.value.hint == "see them all: orchestrate list"


@pytest.mark.parametrize("wanted", ["%", "_", "aaaa000_", "a%", f"%{FIRST.trial_id[1:]}", f"aaaa0001/{'_' * 12}", "*"])
def test_a_wildcard_of_sql_is_no_wildcard(filled: Ledger, wanted: str) -> None:
    with pytest.raises(UnknownId):
        filled.find(wanted)


def test_a_beginning_of_several_sweeps_is_refused_with_their_ids(filled: Ledger) -> None:
    with pytest.raises(UnknownId) as refused:
        filled.find("aaaa")

    assert "aaaa0001" in refused.value.message
    assert "aaaa0002" in refused.value.message
    assert refused.value.hint == "give more digits"


def test_a_beginning_of_several_trials_is_refused_with_their_ids(ledger: Ledger) -> None:
    trials = [trial(repeat=repeat) for repeat in range(1, 40)]
    add(ledger, "zzzz", *trials)
    shared = next(
        first.trial_id[0]
        for first in trials
        if sum(other.trial_id.startswith(first.trial_id[0]) for other in trials) > 1
    )
    with pytest.raises(UnknownId) as refused:
        ledger.find(f"zzzz/{shared}")

    assert "trial ids" in refused.value.message
    assert refused.value.hint == "give more digits"


def test_the_last_of_no_sweeps_is_refused_with_a_first_step(ledger: Ledger) -> None:
    with pytest.raises(UnknownId) as refused:
        ledger.find("@last")

    assert refused.value.hint is not None
    assert "orchestrate sweep" in refused.value.hint


def test_a_trial_of_a_sweep_that_is_not_there_is_refused(filled: Ledger) -> None:
    with pytest.raises(UnknownId):
        filled.find(f"zzzz/{FIRST.trial_id}")


# Sweeps whose process is gone


def running(ledger: Ledger) -> None:
    add(ledger, "dead", environment={"process": {"pid": 7, "started": 1.5}})
    add(ledger, "alive", environment={"process": {"pid": 8, "started": 2.5}})
    add(ledger, "nobody")
    add(ledger, "over", environment={"process": {"pid": 7, "started": 1.5}})
    ledger.set_sweep_status("over", "done")
    ledger.end_trial("dead", FIRST.trial_id, "done", "", scorecard())
    ledger.start_trial("dead", SECOND.trial_id, "trace")


def test_sweeps_whose_process_is_gone_are_interrupted_and_no_others(ledger: Ledger) -> None:
    running(ledger)
    abandoned = ledger.interrupt_abandoned(lambda record: record.sweep_id == "alive")

    assert sorted(abandoned) == ["dead", "nobody"]
    assert {record.sweep_id: record.status for record in ledger.sweeps()} == {
        "dead": "interrupted",
        "alive": "running",
        "nobody": "interrupted",
        "over": "done",
    }


def test_only_the_running_trial_of_an_abandoned_sweep_is_interrupted(ledger: Ledger) -> None:
    running(ledger)
    ledger.interrupt_abandoned(lambda record: False)
    rows = ledger.sweep("dead").trials

    assert [row.status for row in rows] == ["done", "interrupted"]
    assert rows[1].reason == "the process that ran it was killed"
    assert [row.status for row in ledger.sweep("nobody").trials] == ["planned", "planned"]


# Ledgers that can't be opened


def refusal(url: str) -> str:
    with pytest.raises(InputError) as refused:
        Ledger(url)

    assert len(refused.value.message.splitlines()) == 1
    return refused.value.message


@pytest.mark.parametrize("url", ["nosuch://host/db", "sqlite:////nonexistent/folder/ledger.db"])
def test_a_ledger_that_can_not_be_opened_is_bad_input(url: str) -> None:
    assert refusal(url).startswith(f"the ledger {url} can't be opened: ")


def test_a_folder_is_no_ledger(tmp_path: Path) -> None:
    assert "unable to open database file" in refusal(f"sqlite:///{tmp_path}")


def test_another_file_is_no_ledger(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("milk, bread\n" * 500)

    assert "file is not a database" in refusal(f"sqlite:///{path}")
    assert path.read_text().startswith("milk")


@pytest.mark.parametrize(
    "url",
    [
        "nosuch://user:hunter2@host/db",
        "nosuch://user:hunter2@host:5432/db",
        "nosuch:///db?user=u&password=hunter2",
        "nosuch://user:hunter2@host:port/db",
        "user:hunter2@host/db",
        "postgresql:user:hunter2@host/db",
        "postgresql:/user:hunter2@host/db",
        "postgresql//user:hunter2@host/db",
        "nosuch://user:hunter2@w@host/db",
        "nosuch://user:hunter2?w@host/db",
        "nosuch://user:hunter2/w@host/db",
        "nosuch://user:hunter2#w@host/db",
        "nosuch://host/db?sslpassword=hunter2",
        "://user:hunter2@host/db",
        "hunter2",
    ],
)
def test_a_password_is_never_shown(url: str) -> None:
    assert "hunter2" not in refusal(url)


@pytest.mark.parametrize("url", ["garbage", "", "://"])
def test_what_is_no_url_is_not_quoted_because_a_password_may_stand_anywhere_in_it(url: str) -> None:
    assert refusal(url) == "the ledger can't be opened: --ledger is not a database URL"


def test_the_database_of_somebody_else_is_left_as_it_is(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'theirs.db'}"
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE sweeps (floor TEXT)")
    engine.dispose()
    ledger = Ledger(url)
    with pytest.raises(InputError) as refused:
        ledger.sweeps()
    ledger.close()

    assert refused.value.message.startswith("the ledger can't be used: ")


def test_an_observation_has_no_trial_until_it_ends(ledger: Ledger) -> None:
    ledger.add_sweep("0b5e", [], name="prod", backend="observed", spec={}, environment={})
    assert (ledger.sweep("0b5e").status, ledger.sweep("0b5e").trials) == ("running", ())

    ledger.add_observed("0b5e", FIRST, trace="/x.jsonl", started=900.0, scorecard=scorecard())

    record, found = ledger.find(f"0b5e/{FIRST.trial_id}")
    assert (record.status, found and found.status, found and found.trace) == ("done", "done", "/x.jsonl")
