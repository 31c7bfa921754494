"""The ledger's database: several first uses, locks of others, read-only places, odd paths, other versions."""

import json
import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from orchestrator.errors import InputError, MissingPrerequisite
from orchestrator.lab.home import Home
from orchestrator.sqlite_files import is_read_only, read_only_uri, sqlite_url
from orchestrator.sweeps import database
from orchestrator.sweeps import ledger as ledger_module
from orchestrator.sweeps.ledger import Ledger
from tests.support.ledgers import write_sweep


@pytest.fixture
def home(tmp_path: Path) -> Path:
    folder = tmp_path / "home"
    write_sweep(folder, {1: [50.0, 51.0]}).close()
    return folder


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "_ONE_WAIT_MS", 10)


@contextmanager
def locked(path: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield other


def change(path: Path, statement: str) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute(statement)


def read(folder: Path) -> list[str]:
    ledger = Ledger(Home(folder, "").url)
    found = [record.sweep_id for record in ledger.sweeps()]
    ledger.close()
    return found


# At once, and locked


def test_many_first_uses_at_once_make_one_ledger(tmp_path: Path) -> None:
    failures: list[BaseException] = []

    def use() -> None:
        try:
            Ledger(sqlite_url(tmp_path / "ledger.db")).close()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=use) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failures == []


def test_a_locked_ledger_is_waited_for(home: Path, impatient: None) -> None:
    ledger = Ledger(Home(home, "").url)
    with locked(home / "ledger.db") as other:
        release = threading.Timer(0.1, lambda: other.execute("ROLLBACK"))
        release.start()
        ledger.set_sweep_status("c0ffee00", "interrupted")
        release.join()

    assert ledger.sweep("c0ffee00").status == "interrupted"

    ledger.close()


def test_a_ledger_that_stays_locked_is_an_error_that_says_so(home: Path, impatient: None) -> None:
    ledger = Ledger(Home(home, "").url)
    ledger._database._wait_s = 0.05
    began = time.monotonic()
    with locked(home / "ledger.db"), pytest.raises(MissingPrerequisite, match="is locked by another program"):
        ledger.set_sweep_status("c0ffee00", "interrupted")
    ledger.close()

    assert time.monotonic() - began < 10


def test_a_long_wait_is_told_once(home: Path, impatient: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "_MOMENT_S", 0.02)
    told: list[float] = []
    ledger = Ledger(Home(home, "").url)
    ledger.on_long_wait(told.append)
    ledger._database._wait_s = 0.2
    with locked(home / "ledger.db"), pytest.raises(MissingPrerequisite):
        ledger.set_sweep_status("c0ffee00", "interrupted")
    ledger.close()

    assert told == [0.2]


def test_who_reads_waits_for_nobody(home: Path) -> None:
    with locked(home / "ledger.db"):
        assert read(home) == ["c0ffee00"]


# Odd places


@pytest.mark.parametrize("name", ["why?q=1", "a#b", "100%", "%3F", "a b", "ü", "a'b", ":memory:", "file:x", "@host"])
def test_a_home_may_have_any_name(tmp_path: Path, name: str) -> None:
    home = Home(tmp_path / name, "")
    ledger = home.ledger()
    ledger.add_sweep("beef0000", [], name="", backend="local", spec={}, environment={})
    ledger.close()

    assert (tmp_path / name / "ledger.db").is_file()
    assert sorted(path.name for path in tmp_path.iterdir()) == [name]
    assert read(tmp_path / name) == ["beef0000"]


def test_a_ledger_that_cannot_be_written_is_read(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "is_read_only", lambda path: True)
    ledger = Ledger(Home(home, "").url)

    assert [record.sweep_id for record in ledger.sweeps()] == ["c0ffee00"]
    with pytest.raises(InputError, match="is read-only"):
        ledger.set_sweep_status("c0ffee00", "done")

    ledger.close()


def test_an_unfinished_log_of_a_read_only_ledger_counts(home: Path) -> None:
    """A killed sweep leaves one: its last trials are nowhere else."""
    with closing(sqlite3.connect(home / "ledger.db", isolation_level=None)) as writer:
        writer.execute("UPDATE sweeps SET name='only in the log'")

        assert (home / "ledger.db-wal").stat().st_size

        with read_only_uri(home / "ledger.db") as uri, closing(sqlite3.connect(uri, uri=True)) as reader:
            assert reader.execute("SELECT name FROM sweeps").fetchall() == [("only in the log",)]


@pytest.mark.skipif(os.geteuid() == 0, reason="root can write everywhere")
def test_a_folder_that_cannot_be_written_makes_its_ledger_read_only(home: Path) -> None:
    home.chmod(0o500)

    assert is_read_only(home / "ledger.db")


# Other versions


def test_a_new_ledger_has_the_version_of_its_tables(home: Path) -> None:
    with closing(sqlite3.connect(home / "ledger.db")) as other:
        assert other.execute("SELECT version FROM schema_version").fetchall() == [(ledger_module.SCHEMA_VERSION,)]


def test_a_ledger_of_before_versions_is_read_and_gets_one(home: Path) -> None:
    change(home / "ledger.db", "DROP TABLE schema_version")

    assert read(home) == ["c0ffee00"]

    test_a_new_ledger_has_the_version_of_its_tables(home)


def test_a_ledger_with_newer_tables_is_refused_and_left_as_it_is(home: Path) -> None:
    change(home / "ledger.db", "UPDATE schema_version SET version=7")
    with pytest.raises(InputError, match="made by a newer version of orchestrate") as refused:
        read(home)

    assert "upgrade" in (refused.value.hint or "")


def test_numbers_of_a_newer_version_are_kept_and_named(home: Path) -> None:
    change(home / "ledger.db", "UPDATE trials SET scorecard=json_set(scorecard, '$.energy_wh', 3)")
    ledger = Ledger(Home(home, "").url)
    record = ledger.sweep("c0ffee00")
    ledger.take_over("c0ffee00", record.environment)
    ledger.close()

    assert record.trials[0].scorecard is not None
    assert record.notes == ("made by a newer version of orchestrate; not shown: energy_wh",)
    with closing(sqlite3.connect(home / "ledger.db")) as other:
        (stored,) = other.execute("SELECT scorecard FROM trials").fetchone()
    assert json.loads(stored)["energy_wh"] == 3


STRANGE = {
    "a path as id": "UPDATE sweeps SET sweep_id='../../OUT'",
    "an absolute path as id": "UPDATE sweeps SET sweep_id='/etc/passwd'",
    "a hidden id": "UPDATE sweeps SET sweep_id='.ssh'",
    "an empty id": "UPDATE sweeps SET sweep_id=''",
    "an id with a control character": "UPDATE sweeps SET sweep_id='a'||char(27)",
    "a setting of a newer version": "UPDATE trials SET definition=json_set(definition, '$.settings.warp', 9)",
    "no definition": "UPDATE trials SET definition='{}'",
    "no JSON": "UPDATE trials SET definition='{'",
    "deep JSON": "UPDATE sweeps SET spec=printf('%.*c', 100000, '[')",
    "a list as environment": "UPDATE sweeps SET environment='[]'",
    "a text as scorecard": "UPDATE trials SET scorecard='\"x\"'",
    "a number as scorecard": "UPDATE trials SET scorecard='7'",
    "a time far away": "UPDATE sweeps SET created=1e300",
    "a text as time": "UPDATE sweeps SET created='soon'",
    "a number as name": "UPDATE sweeps SET name=x'ff00'",
    "a number as trace": "UPDATE trials SET trace=x'ff00'",
}


@pytest.mark.parametrize("statement", STRANGE.values(), ids=STRANGE.keys())
def test_a_sweep_that_this_version_cannot_have_written_hides_no_other(home: Path, statement: str) -> None:
    change(home / "ledger.db", statement)
    write_sweep(home, {5: [40.0]}, sweep_id="beef0000").close()
    ledger = Ledger(Home(home, "").url)

    assert [record.sweep_id for record in ledger.sweeps()] == ["beef0000"]
    assert len(ledger.unreadable) == 1
    for wanted in ledger.unreadable:
        with pytest.raises(InputError):
            ledger.sweep(wanted)

    ledger.close()
