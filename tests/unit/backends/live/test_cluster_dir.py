"""The folder of a local cluster: the journal, the running trial, and files that are never half written."""

import errno
import json
import stat
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestrator.backends.live.cluster_dir import ClusterFiles
from orchestrator.errors import MissingPrerequisite
from orchestrator.filesystem import needing_room, no_room, write_atomically
from tests.support.builders import journal_of


@pytest.fixture
def files(tmp_path: Path) -> ClusterFiles:
    made = ClusterFiles(tmp_path / "clusters" / "c0ffee00")
    made.create()
    return made


def test_the_folder_is_made_with_its_parents_for_this_user_only(files: ClusterFiles) -> None:
    assert 0o700 == stat.S_IMODE(files.root.stat().st_mode)
    assert {"inbox", "outbox", "nodes"} == {path.name for path in files.root.iterdir()}


def test_a_folder_is_never_taken_over_from_another_cluster(files: ClusterFiles) -> None:
    with pytest.raises(FileExistsError):
        files.create()


def test_every_file_lies_in_the_clusters_own_folder(files: ClusterFiles) -> None:
    paths = [files.config, files.journal, files.owner, files.node_options("n1"), files.node_log("n1")]
    paths += [files.requests, files.settings, files.monitor_log]

    assert all(files.root in path.parents for path in paths)
    assert len(paths) == len(set(paths))


def test_a_replaced_file_holds_the_new_text_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    target = tmp_path / "settings"
    write_atomically(target, "old")
    write_atomically(target, "new")

    assert "new" == target.read_text()
    assert [target] == list(tmp_path.iterdir())


def test_a_reader_that_has_the_old_file_open_still_sees_all_of_it(tmp_path: Path) -> None:
    target = tmp_path / "settings"
    target.write_text("old")
    with target.open() as reader:
        write_atomically(target, "new")

        assert "old" == reader.read()


def test_what_the_head_says_is_in_its_outbox_and_what_it_is_told_in_its_inbox(files: ClusterFiles) -> None:
    assert {files.outbox} == {path.parent for path in (files.requests, files.settings, files.monitor_log)}
    assert files.inbox == files.config.parent


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_something_that_is_missing(tmp_path: Path, code: int) -> None:
    told = pytest.raises(MissingPrerequisite, match=r"no room left to write /there/trial.json: full")
    with told as error, needing_room(tmp_path):
        raise OSError(code, "full", "/there/trial.json")

    assert error.value.hint


def test_a_full_disk_that_names_no_file_is_named_by_its_folder() -> None:
    assert "there is no room left to write /home: full" == str(no_room(OSError(errno.ENOSPC, "full"), Path("/home")))


def test_whatever_else_fails_to_be_written_stays_what_it_is(tmp_path: Path) -> None:
    with pytest.raises(PermissionError), needing_room(tmp_path):
        raise PermissionError(errno.EACCES, "not yours")

    assert no_room(ValueError("28"), tmp_path) is None


def test_a_journal_that_nobody_has_written_is_empty(files: ClusterFiles) -> None:
    assert [] == journal_of(files)


def test_journal_entries_are_read_in_order_with_their_time(files: ClusterFiles) -> None:
    before = time.time()
    files.append_journal({"event": "requested", "node": "n1"})
    files.append_journal({"event": "allocated", "node": "n1"})
    entries = journal_of(files)

    assert ["requested", "allocated"] == [entry["event"] for entry in entries]
    assert before <= entries[0]["t"] <= entries[1]["t"] <= time.time()


@given(cut=st.integers(1, 200), text=st.text(max_size=20))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_torn_last_line_is_left_out_wherever_it_is_torn(files: ClusterFiles, cut: int, text: str) -> None:
    files.journal.unlink(missing_ok=True)
    files.append_journal({"event": "requested", "node": "n1"})
    whole = files.journal.read_bytes()
    torn = json.dumps({"t": 1.0, "event": "failed", "detail": text}, ensure_ascii=False).encode()
    files.journal.write_bytes(whole + torn[:cut])

    assert ["requested"] == [entry["event"] for entry in journal_of(files)]


def test_a_journal_of_one_torn_line_is_empty(files: ClusterFiles) -> None:
    files.journal.write_text('{"t": 1.0, "eve')

    assert [] == journal_of(files)


def test_a_line_break_within_a_value_stays_within_its_line(files: ClusterFiles) -> None:
    files.append_journal({"detail": "one\ntwo\u2028three"})

    assert ["one\ntwo\u2028three"] == [entry["detail"] for entry in journal_of(files)]


def test_threads_that_append_at_once_do_not_mix_their_lines(files: ClusterFiles) -> None:
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda index: files.append_journal({"node": str(index) * 56}), range(100)))

    assert {str(index) * 56 for index in range(100)} == {entry["node"] for entry in journal_of(files)}


def test_before_the_first_trial_there_is_no_id_and_seed_zero(files: ClusterFiles) -> None:
    assert ("", 0) == files.read_trial()


def test_the_running_trial_is_the_one_that_was_written_last(files: ClusterFiles) -> None:
    files.write_trial("aaaa", 1)
    files.write_trial("bbbb", 2)

    assert ("bbbb", 2) == files.read_trial()


def test_a_node_host_without_a_log_left_no_words(files: ClusterFiles) -> None:
    assert "" == files.last_words("n1")


@pytest.mark.parametrize(
    ("log", "words"),
    [
        (b"", ""),
        (b"\n \n", ""),
        (b"first\nlast\n\n", "last"),
        (b"\xff broken", "\ufffd broken"),
        (b"x" * 999, "x" * 300),
    ],
)
def test_the_last_words_of_a_node_host_are_its_last_line(files: ClusterFiles, log: bytes, words: str) -> None:
    files.node_log("n1").write_bytes(log)

    assert words == files.last_words("n1")
