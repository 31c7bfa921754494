"""Ray's records of a job as events of a trace."""

from orchestrator.backends.live.job_trace import events_of
from orchestrator.model.events import NoteEvent, TaskEvent
from orchestrator.observer.node_tracker import NodeTraits, TrackedNode
from orchestrator.rayapi.job_records import JobRecords, Run

TASK = Run("train", "ab" * 28, 2.0, submitted=10.0, started=11.0, ended=15.0, ok=True, resources={"CPU": 2.0})
NODES = {TASK.node: TrackedNode("i-1", "x86", NodeTraits("x86_64"))}


def test_a_record_becomes_a_task_on_its_node() -> None:
    [event] = events_of(JobRecords((TASK,)), NODES.get, ended=20.0)

    assert isinstance(event, TaskEvent)
    assert (event.node_type, event.arch, event.cpus) == ("x86", "x86_64", 2.0)
    assert (event.t, event.submitted, event.started, event.ended) == (15.0, 10.0, 11.0, 15.0)
    assert event.model_extra == {"name": "train", "actor": False, "resources": {"CPU": 2.0}}


def test_a_node_that_nobody_saw_has_no_type() -> None:
    [event] = events_of(JobRecords((TASK,)), lambda node: None, ended=20.0)

    assert isinstance(event, TaskEvent)
    assert (event.node, event.node_type, event.arch) == (TASK.node, "", "unknown")


def test_few_missing_records_are_counted() -> None:
    [*_, note] = events_of(JobRecords((TASK,) * 99, missing=1), NODES.get, ended=20.0)

    assert isinstance(note, NoteEvent)
    assert (note.t, note.kind) == (20.0, "records_missing")
    assert note.text == "Ray kept no complete record of 1 of 100 tasks and actors"


def test_many_missing_records_leave_numbers_out() -> None:
    [*_, note] = events_of(JobRecords((TASK,), missing=1), NODES.get, ended=20.0)

    assert isinstance(note, NoteEvent)
    assert note.kind == "records_incomplete"
    assert "waits, CPU use and elasticity are left out" in note.text
