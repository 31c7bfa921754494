"""Traces: what is written is read again, at once and whole; only a torn last line may be lost."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.errors import SpecError
from orchestrator.model.events import Event, NodeEvent, NoteEvent, OtherEvent, parse_event
from orchestrator.model.trial import Trial
from orchestrator.trace.file import TraceWriter, read_trace
from tests.support.builders import node, note, phase, trial
from tests.support.strategies import events, trials

HEADER = '{"trace": 1, "trial": null}\n'
NOTE = note(1, "a").model_dump_json() + "\n"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "sweep" / "trial.jsonl"


@pytest.fixture
def written(tmp_path: Path) -> Callable[[str], Path]:
    def write(text: str) -> Path:
        path = tmp_path / "trial.jsonl"
        path.write_text(text)
        return path

    return write


def refusal(path: Path) -> str:
    """The one line with which the trace is refused, without the folder's name."""
    with pytest.raises(SpecError) as refused:
        read_trace(path)

    assert len(refused.value.message.splitlines()) == 1
    return refused.value.message.replace(str(path), path.name)


# Writing


def test_the_first_line_holds_the_version_and_the_whole_trial(path: Path) -> None:
    wanted = trial(upscaling_speed=5)
    with TraceWriter(path, trial=wanted, context={"sweep_id": "c0ffee00"}):
        header = json.loads(path.read_text())

    assert header == {"trace": 1, "trial": wanted.model_dump(mode="json"), "sweep_id": "c0ffee00"}


def test_the_header_names_the_trials_id(path: Path) -> None:
    wanted = trial()
    with TraceWriter(path, trial=wanted):
        header = json.loads(path.read_text())

    assert header["trial"]["trial_id"] == wanted.trial_id


def test_each_event_is_in_the_file_as_soon_as_it_is_emitted(path: Path) -> None:
    with TraceWriter(path) as trace:
        lengths = []
        for number in range(3):
            trace.emit(note(number, "a"))
            lengths.append(len(path.read_text().splitlines()))

    assert lengths == [2, 3, 4]


def test_each_sink_gets_each_event_after_it_was_written(path: Path) -> None:
    seen: list[tuple[Event, int]] = []
    with TraceWriter(path, sinks=[lambda event: seen.append((event, len(path.read_text().splitlines())))]) as trace:
        trace.emit(note(1, "a"))
        trace.emit(note(2, "b"))

    assert seen == [(note(1, "a"), 2), (note(2, "b"), 3)]


def test_a_sink_that_raises_is_logged_and_dropped_and_all_else_goes_on(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    calls: list[str] = []
    seen: list[Event] = []

    def broken(event: Event) -> None:
        calls.append("called")
        raise RuntimeError("the screen is gone")

    with TraceWriter(path, sinks=[broken, seen.append]) as trace:
        trace.emit(note(1, "a"))
        trace.emit(note(2, "b"))

    assert calls == ["called"]
    assert [(record.levelname, record.exc_info is not None) for record in caplog.records] == [("ERROR", True)]
    assert "RuntimeError: the screen is gone" in caplog.text
    assert trace.stopped == ("RuntimeError: the screen is gone",)
    assert seen == [note(1, "a"), note(2, "b")]
    assert read_trace(path).events == (note(1, "a"), note(2, "b"))


def test_an_event_after_the_end_is_dropped(path: Path) -> None:
    trace = TraceWriter(path)
    trace.close()
    trace.emit(note(1, "late"))
    trace.close()

    assert read_trace(path).events == ()


def test_the_file_is_closed_when_a_trial_fails(path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), TraceWriter(path) as trace:
        raise KeyboardInterrupt
    trace.emit(note(1, "late"))

    assert read_trace(path).events == ()


def test_threads_that_emit_at_once_never_mix_their_lines(path: Path) -> None:
    def emit_many(kind: str) -> None:
        for second in range(25):
            trace.emit(note(second, kind * 500))

    with TraceWriter(path) as trace, ThreadPoolExecutor(8) as pool:
        for thread in range(8):
            pool.submit(emit_many, str(thread))

    kinds = [event.kind for event in read_trace(path).events if isinstance(event, NoteEvent)]
    assert sorted(kinds) == sorted(str(thread) * 500 for thread in range(8) for _ in range(25))


# Reading


@given(wanted=trials(), emitted=st.lists(events(), max_size=5))
def test_what_was_written_is_read_again(wanted: Trial, emitted: list[Event]) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "trial.jsonl"
        with TraceWriter(path, trial=wanted, context={"sweep_id": "c0ffee00"}) as trace:
            for event in emitted:
                trace.emit(event)
        found = read_trace(path)

    assert found.trial == wanted
    assert found.context == {"sweep_id": "c0ffee00"}
    assert found.events == tuple(sorted(emitted, key=lambda event: event.t))


def test_events_are_read_in_the_order_of_time_and_of_the_file_where_times_are_equal(path: Path) -> None:
    with TraceWriter(path) as trace:
        for event in (note(3, "c"), note(1, "a"), note(2, "b1"), note(2, "b2")):
            trace.emit(event)

    assert read_trace(path).events == (note(1, "a"), note(2, "b1"), note(2, "b2"), note(3, "c"))


def test_the_trace_of_a_foreign_cluster_has_no_trial(path: Path) -> None:
    with TraceWriter(path) as trace:
        trace.emit(phase(1, "running"))

    assert read_trace(path).trial is None


@pytest.mark.parametrize("torn", [1, 5, len(NOTE) - 1])
def test_a_torn_last_line_is_dropped(written: Callable[[str], Path], torn: int) -> None:
    path = written(HEADER + NOTE + NOTE[:torn])

    assert read_trace(path).events == (note(1, "a"),)


def test_a_last_line_without_its_line_end_is_torn_even_if_it_can_be_read(written: Callable[[str], Path]) -> None:
    path = written(HEADER + NOTE.rstrip("\n"))

    assert read_trace(path).events == ()


@pytest.mark.parametrize("damage", ["{torn\n", "\n", "[]\n", '{"type": "note"}\n', '{"t": 1, "type": "phase"}\n'])
def test_damage_anywhere_else_is_named_with_file_and_line(written: Callable[[str], Path], damage: str) -> None:
    path = written(HEADER + NOTE + damage + NOTE)

    assert refusal(path).startswith("trial.jsonl:3: damaged: this line is not an event")


@pytest.mark.parametrize("first", ["{}", "[]", "null", "1", '"trace"', "not json", "", '{"trial": null}'])
def test_a_file_that_is_no_trace_is_refused(written: Callable[[str], Path], first: str) -> None:
    path = written(first + "\n" + NOTE)

    assert refusal(path).startswith("trial.jsonl:1: no trace")


@pytest.mark.parametrize("text", ["", HEADER.rstrip("\n"), '{"tra'])
def test_a_trace_without_a_whole_first_line_is_refused(written: Callable[[str], Path], text: str) -> None:
    path = written(text)

    assert refusal(path) == "trial.jsonl: no trace: it has no complete first line"


def test_a_binary_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "trial.jsonl"
    path.write_bytes(b"\xff\xfe\x00\n\x00\n")

    assert refusal(path).startswith("trial.jsonl:1: no trace")


def test_a_file_that_is_missing_is_refused(tmp_path: Path) -> None:
    assert refusal(tmp_path / "none.jsonl") == "none.jsonl: can't be read: No such file or directory"


def test_a_newer_version_is_refused(written: Callable[[str], Path]) -> None:
    path = written('{"trace": 2, "trial": null}\n')

    assert refusal(path) == "trial.jsonl:1: trace version 2 isn't one that this orchestrate reads (1)"


def test_a_header_whose_trial_is_none_of_ours_is_refused(written: Callable[[str], Path]) -> None:
    path = written('{"trace": 1, "trial": {"backend": "moon"}}\n')

    assert refusal(path).startswith("trial.jsonl:1: the header doesn't hold a trial")


def test_a_trial_that_is_no_mapping_is_refused(written: Callable[[str], Path]) -> None:
    path = written('{"trace": 1, "trial": [1]}\n')

    assert refusal(path).startswith("trial.jsonl:1: ")


# Traces of newer versions


def test_unknown_fields_of_a_known_event_are_kept(written: Callable[[str], Path], path: Path) -> None:
    line = node(1, "n1", "running").model_dump_json()[:-1] + ',"zone":"eu-central-1a"}\n'
    (event,) = read_trace(written(HEADER + line)).events
    with TraceWriter(path) as trace:
        trace.emit(event)

    assert isinstance(event, NodeEvent)
    assert json.loads(path.read_text().splitlines()[1]) == json.loads(line)


def test_events_of_an_unknown_type_are_kept(written: Callable[[str], Path], path: Path) -> None:
    line = '{"t":5.0,"type":"price","dollars":{"m7i.2xlarge":0.4}}\n'
    (event,) = read_trace(written(HEADER + line)).events
    with TraceWriter(path) as trace:
        trace.emit(event)

    assert isinstance(event, OtherEvent)
    assert json.loads(path.read_text().splitlines()[1]) == json.loads(line)


def test_an_event_of_unknown_type_still_needs_a_time() -> None:
    with pytest.raises(ValueError, match="t"):
        parse_event('{"type":"price"}')


def test_a_trace_that_is_full_says_so_once_and_its_sinks_go_on(path: Path) -> None:
    seen: list[Event] = []
    with TraceWriter(path, sinks=[seen.append], limit=300) as trace:
        for t in range(10):
            trace.emit(phase(t, "running"))

    events = read_trace(path).events
    assert trace.full
    assert [event.kind for event in events if isinstance(event, NoteEvent)] == ["trace_full"]
    assert len(events) < 10 == len(seen)
