"""Traces of strangers: whatever is in them, commands name the file and the line, or take the trace as it is."""

import contextlib
import json
import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from orchestrator.analysis.trial.explain import explain
from orchestrator.analysis.trial.score import score
from orchestrator.errors import InputError, SpecError
from orchestrator.report.document.content import gather
from orchestrator.report.document.markdown import markdown
from orchestrator.report.export.frames import trace_frames, write
from orchestrator.trace.file import MAX_LINE_BYTES, TraceWriter, read_trace
from tests.support.builders import (
    demand,
    fault,
    life,
    node,
    note,
    phase,
    sound,
    sweep_record,
    task,
    trial,
    trial_record,
)

MUTATIONS = 600
DEEP = "[" * 100_000
STRANGE: tuple[Any, ...] = (
    None, True, -1, 0, 1e308, -1e308, 2**63, 10**400, 285200616 * 3.15e7, "", "x" * 5000, "\x1b]0;PWNED\x07", "\ud800",
    "=cmd()", "<script>", [], {}, [[]], {"a": {"b": 1}}, [1, 2], ["x"], {"": ""},
)  # fmt: skip


@pytest.fixture
def lines() -> list[str]:
    events = [
        *sound(), *life("n1", requested=0, allocated=5, installing=6, running=30, idle=60, terminated=90),
        task("n1", 31, 60), task("n1", 31, 60, count=3), demand(1, **{"{CPU: 1.0}": 4}), demand(60),
        fault(40, "n1"), note(50, "gap", 3.0), node(70, "n2", "failed", cause="launch"), phase(95, "done"),
    ]  # fmt: skip
    header = json.dumps({"trace": 1, "trial": trial().model_dump(mode="json"), "environment": {"ray": "2.55.1"}})
    return [header, *(event.model_dump_json() for event in events)]


@pytest.fixture
def written(tmp_path: Path) -> Callable[[str], Path]:
    def write_text(text: str) -> Path:
        path = tmp_path / "trial.jsonl"
        path.write_text(text, encoding="utf-8", errors="surrogateescape")
        return path

    return write_text


def refusal(path: Path) -> str:
    with pytest.raises(SpecError) as refused:
        read_trace(path)
    return refused.value.message.replace(str(path), path.name)


def replaced(value: Any, chance: random.Random) -> Any:
    """The value with one of its parts, at any depth, replaced or missing."""
    if isinstance(value, dict) and value and chance.random() < 0.85:
        key = chance.choice(sorted(value))
        if chance.random() < 0.1:
            return {name: part for name, part in value.items() if name != key}
        return {**value, key: replaced(value[key], chance)}
    if isinstance(value, list) and value and chance.random() < 0.7:
        at = chance.randrange(len(value))
        return [*value[:at], replaced(value[at], chance), *value[at + 1 :]]
    return chance.choice(STRANGE)


def mutated(lines: list[str], chance: random.Random) -> str:
    """The trace with one to three of its lines changed."""
    changed = list(lines)
    for _ in range(chance.randint(1, 3)):
        at = chance.randrange(len(changed))
        match chance.randrange(5):
            case 0:
                changed[at] = changed[at][: chance.randrange(len(changed[at]) + 1)]
            case 1:
                changed[at] = DEEP
            case 2:
                changed.insert(at, changed[chance.randrange(len(changed))])
            case _:
                try:
                    changed[at] = json.dumps(replaced(json.loads(changed[at]), chance))
                except (ValueError, RecursionError):
                    continue
    return "\n".join(changed) + "\n"


def use(path: Path, home: Path) -> None:
    """Do with a trace what commands do: score it, explain it, report it, export it."""
    trace = read_trace(path)
    score(trace.trial or trial(), trace.events, None)
    record = trial_record(trial(), trace=str(path))
    sweep = sweep_record(record)
    markdown(gather(sweep, cluster=home / "none"))
    frames = trace_frames([record], None)
    write(home / "csv", "csv", frames.nodes, frames)
    if trace.trial is not None:
        explain(trace.trial, trace.events)


@pytest.mark.parametrize("seed", range(MUTATIONS // 50))
def test_no_damage_is_a_fault_of_orchestrate(
    lines: list[str], written: Callable[[str], Path], tmp_path: Path, seed: int
) -> None:
    chance = random.Random(seed)
    for _ in range(50):
        text = mutated(lines, chance)
        path = written(text)
        with contextlib.suppress(InputError):  # not logged: it is the right answer to a damaged trace.
            try:
                use(path, tmp_path)
            except Exception as error:
                error.add_note(f"seed {seed}: {text[:3000]}")
                raise


@pytest.mark.parametrize(
    "line",
    [
        DEEP,
        '{"t": 1, "type": {"a": 1}}',
        '{"t": 1, "type": ["task"]}',
        '{"t": 1e300, "type": "new"}',
        '{"t": -1, "type": "new"}',
        '{"t": 285200616000000000, "type": "phase", "phase": "done"}',
        '{"t": 1, "type": "demand", "pending": {"a": [1]}, "pending_cpus": 1}',
        '{"t": 1, "type": "demand", "pending": {"a": -1}, "pending_cpus": 1}',
        '{"t": 1, "type": "usage", "cpus": {"a": [1, -1]}}',
        '{"t": 1, "type": "task", "node": "n", "submitted": 1, "started": 1, "ended": 1, "count": 0}',
        '{"t": 1, "type": "task", "node": "n", "submitted": 1, "started": 1, "ended": 1, "count": 100000000}',
        '{"t": 1, "type": "task", "node": {"n": 1}, "submitted": 1, "started": 1, "ended": 1}',
    ],
)
def test_a_value_that_no_trace_has_is_named_by_its_line(
    lines: list[str], written: Callable[[str], Path], line: str
) -> None:
    assert refusal(written("\n".join([lines[0], line, *lines[1:]]) + "\n")).startswith("trial.jsonl:2: damaged")


def test_more_tasks_than_a_memory_holds_are_refused(lines: list[str], written: Callable[[str], Path]) -> None:
    many = task("n1", 31, 60, count=1_000_000).model_dump_json()

    assert "more than 10000000 tasks" in refusal(written("\n".join([lines[0], *[many] * 11]) + "\n"))


def test_a_line_that_never_ends_is_refused_and_not_read(lines: list[str], written: Callable[[str], Path]) -> None:
    path = written(lines[0] + "\n" + " " * (MAX_LINE_BYTES + 1))

    assert "longer than 4000000 bytes" in refusal(path)


def test_first_and_last_event_are_not_centuries_apart(lines: list[str], written: Callable[[str], Path]) -> None:
    path = written("\n".join([*lines, '{"t": 30000000000, "type": "new"}']) + "\n")

    assert "days are between" in refusal(path)


@pytest.mark.parametrize("path", ["/dev/zero", "/dev/stdin", ".", "/proc/self/mem", "a" * 300, "nul\0"])
def test_what_is_no_file_is_not_read_for_ever(path: str) -> None:
    with pytest.raises(SpecError):
        read_trace(Path(path))


def test_a_pipe_does_not_hang(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jsonl")
    with pytest.raises(SpecError, match="not a file"):
        read_trace(tmp_path / "pipe.jsonl")


@pytest.mark.parametrize("kind", ["file", "link", "dangling link"])
def test_a_writer_never_overwrites(tmp_path: Path, kind: str) -> None:
    precious = tmp_path / "precious.txt"
    if kind != "dangling link":
        precious.write_text("precious")
    path = precious if kind == "file" else tmp_path / "link.jsonl"
    if kind != "file":
        path.symlink_to(precious)
    with pytest.raises(FileExistsError):
        TraceWriter(path)

    assert kind == "dangling link" or precious.read_text() == "precious"
    assert kind != "dangling link" or not precious.exists()
