"""A recorded trace becomes a workload, and says what it takes for granted."""

import json
from collections.abc import Sequence
from datetime import datetime, time
from pathlib import Path
from typing import Any

import pytest

from orchestrator.errors import InputError, SpecError
from orchestrator.model.events import Event, PlacementGroupEvent
from orchestrator.model.group import Group
from orchestrator.replay.history import MAX_SHAPES, Edits, Replayed, read_history, replayed
from orchestrator.trace.file import TraceWriter
from tests.support.builders import T0, note, phase, task, trial

DONE = phase(100, "done")


def asking(started: float, ended: float, *, ready: float | None = None, **resources: float) -> Event:
    """A task of an observed cluster that holds these resources."""
    more: dict[str, Any] = {} if ready is None else {"ready": T0 + ready}
    return task("n1", started, ended, cpus=resources.get("CPU", 0.0), resources=resources, **more)


def written(folder: Path, *events: Event, of: Any = None) -> Path:
    path = folder / "seen.jsonl"
    with TraceWriter(path, trial=of) as trace:
        for event in events:
            trace.emit(event)
    return path


def workload(folder: Path, *events: Event, edits: Edits | None = None, of: Any = None) -> Replayed:
    return replayed(read_history(written(folder, *events, of=of)), edits or Edits(), "seen")


def rows(found: Replayed) -> list[Sequence[tuple[float, float]]]:
    return [group["recorded"] for group in found.groups]


def test_each_shape_is_a_group_with_the_times_of_its_tasks(tmp_path: Path) -> None:
    found = workload(tmp_path, asking(3, 8, CPU=1), asking(4, 5, ready=2, CPU=1, GPU=1), DONE)

    first, second = [Group.model_validate(group) for group in found.groups]
    assert (first.cpus, first.recorded) == (1, ((0.0, 5.0),))
    assert (second.cpus, second.resources, second.recorded) == (1, {"GPU": 1.0}, ((2.0, 1.0),))
    assert found.assumptions == (
        "each task is submitted when it was, and takes as long as it did, whatever the settings; tasks that waited for"
        " others would come at other times",
    )


def test_the_tasks_of_a_trial_ask_for_what_its_workload_says(tmp_path: Path) -> None:
    of = trial(tasks=2, workload={"resources": {"Intel": 0.5}, "labels": {"market": "spot"}})
    found = workload(tmp_path, task("n1", 1, 11), task("n1", 11, 21, count=2), DONE, of=of)

    [group] = [Group.model_validate(each) for each in found.groups]
    assert (group.tasks, group.resources, group.labels) == (3, {"Intel": 0.5}, {"market": "spot"})


def test_the_load_is_scaled_evenly(tmp_path: Path) -> None:
    tasks = [asking(t, t + 1, ready=t, CPU=1) for t in range(4)]

    assert [at for at, _ in rows(workload(tmp_path / "a", *tasks, edits=Edits(scale=0.5)))[0]] == [0, 2]
    assert [at for at, _ in rows(workload(tmp_path / "b", *tasks, edits=Edits(scale=1.5)))[0]] == [0, 1, 1, 2, 3, 3]


def test_times_of_day_may_go_over_midnight(tmp_path: Path) -> None:
    tasks = [asking(hour * 3600, hour * 3600 + 9, ready=hour * 3600, CPU=1) for hour in range(24)]
    hours = sorted(datetime.fromtimestamp(T0 + hour * 3600).hour for hour in range(24))
    assert hours == list(range(24))

    day = workload(tmp_path / "day", *tasks, edits=Edits(between=(time(9), time(17))))
    night = workload(tmp_path / "night", *tasks, edits=Edits(between=(time(22), time(6))))
    assert (len(rows(day)[0]), len(rows(night)[0])) == (8, 8)


def test_only_one_shape_is_kept_where_that_is_wanted(tmp_path: Path) -> None:
    found = workload(tmp_path, asking(1, 2, CPU=1), asking(1, 3, CPU=4), DONE, edits=Edits(only_shape="CPU=4"))

    assert rows(found) == [[(0.0, 2.0)]]
    assert found.assumptions[0] == "only tasks with CPU=4: 1 of 2"


def test_a_shape_that_is_not_there_is_refused_with_those_that_are(tmp_path: Path) -> None:
    with pytest.raises(InputError) as refused:
        workload(tmp_path, asking(1, 2, CPU=1), edits=Edits(only_shape="CPU=9"))
    assert (refused.value.message, refused.value.hint) == (
        "--only-shape: no task of seen has the shape CPU=9",
        "it has 1 x CPU=1",
    )


def test_placement_groups_are_refused_unless_left_out(tmp_path: Path) -> None:
    group = PlacementGroupEvent(
        t=T0 + 9, group="g", strategy="PACK", bundles=({"CPU": 1},), submitted=T0, placed=T0, ended=T0 + 9
    )
    inside = task("n1", 2, 3, resources={"CPU": 1.0}, group="g")
    with pytest.raises(InputError, match="1 placement groups, which can't be replayed yet"):
        workload(tmp_path / "a", group, inside, asking(1, 2, CPU=1))

    found = workload(tmp_path / "b", group, inside, asking(1, 2, CPU=1), edits=Edits(only_shape="CPU=1"))
    assert rows(found) == [[(0.0, 1.0)]]


def test_what_is_missing_is_said(tmp_path: Path) -> None:
    found = workload(
        tmp_path,
        task("n1", 1, 2, resources={}, actor=True),
        task("n1", 1, 9, resources={"CPU": 1.0}, actor=True, unfinished=True, earlier=True),
        note(10, "records_missing"),
    )

    assert len(rows(found)[0]) == 1
    assert set(found.assumptions) >= {
        "1 tasks and actors that need no resources are left out",
        "2 actors are replayed as tasks that last as long as they lived",
        "1 tasks and actors outlived the record: they are replayed up to its end",
        "1 tasks and actors began before the record: they are replayed from its begin",
        "the record is incomplete: records_missing",
        "the record breaks off: what still ran, and what Ray dropped, isn't known",
    }


def test_a_record_without_tasks_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no task is left to replay"):
        workload(tmp_path, DONE)


def test_endless_shapes_are_refused_early(tmp_path: Path) -> None:
    path = written(tmp_path, *(asking(1, 2, CPU=1 + number) for number in range(MAX_SHAPES + 1)))
    with pytest.raises(InputError, match="more than 500 shapes"):
        read_history(path)


def test_a_trace_that_is_cut_in_a_line_is_a_partial_record(tmp_path: Path) -> None:
    path = written(tmp_path, asking(1, 2, CPU=1), asking(2, 3, CPU=1), DONE)
    path.write_bytes(path.read_bytes()[:-100])

    assert "the record breaks off" in replayed(read_history(path), Edits(), "seen").assumptions[-1]


def test_damage_and_other_versions_are_refused(tmp_path: Path) -> None:
    path = written(tmp_path, task("n1", 1, 2, resources={"CPU": "lots"}))
    with pytest.raises(SpecError, match=r"what the task at .* asks for can't be read"):
        read_history(path)

    path.write_text(json.dumps({"trace": 99, "trial": None}) + "\n")
    with pytest.raises(SpecError, match="trace version 99 isn't one that this orchestrate reads"):
        read_history(path)
