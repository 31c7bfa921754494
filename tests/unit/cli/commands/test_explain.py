"""The reasons for a trial's launches, as a user reads them."""

import json
from pathlib import Path

import pytest

from orchestrator.trace.file import TraceWriter
from tests.support.builders import baseline, demand, life, sound, task, trial
from tests.support.command_line import Run


@pytest.fixture
def trace(tmp_path: Path) -> str:
    """A trace with one launch of a node, which is at the limit of the speed."""
    tried, path = trial(upscaling_speed=1), tmp_path / "t.jsonl"
    with TraceWriter(path, trial=tried) as writer:
        for event in sound(
            baseline("n0"),
            demand(1),
            life("n1", "arm", requested=5, allocated=7, installing=9, running=12, terminated=80),
            task("n1", 13, 20, node_type="arm"),
        ):
            writer.emit(event)
    return str(path)


def test_launches_and_ends_are_explained(run: Run, trace: str) -> None:
    code, out, _ = run("explain", trace)

    assert code == 0
    assert "demand 1 x CPU=1: no more, because speed 1 with 0 running allows 1 in one update" in out
    assert "why nodes went" in out


def test_one_moment_is_explained(run: Run, trace: str) -> None:
    code, out, _ = run("explain", trace, "--at", "8s")

    assert code == 0
    assert out.startswith("at 8 s: pending 1 x CPU=1")
    assert "CPU=1 on arm: on its way: 1 of this type are being launched" in out


def test_programs_get_the_same_as_json(run: Run, trace: str) -> None:
    whole = json.loads(run("explain", trace, "--json")[1])
    moment = json.loads(run("explain", trace, "--at", "8", "--json")[1])

    assert [(each["t"], each["rules"]) for each in whole["launches"]] == [(5.0, ["speed"])]
    assert {each["reason"] for each in moment["obstacles"]} == {"on its way"}


def test_what_can_not_be_explained_is_refused(run: Run, tmp_path: Path, trace: str) -> None:
    with TraceWriter(tmp_path / "observed.jsonl") as writer:
        writer.emit(demand(1))

    for arguments, message in (
        (("nowhere",), "no sweep or trial begins with 'nowhere'"),
        ((str(tmp_path / "observed.jsonl"),), "a cluster was only observed"),
        ((trace, "--at", "soon"), "--at: 'soon' is not a duration"),
    ):
        code, _, err = run("explain", *arguments)
        assert (code, message in err) == (2, True), err
