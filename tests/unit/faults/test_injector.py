"""Faults in a real cluster: injected at their time, undone in any case, and never at the trial's expense."""

import threading
from collections.abc import Callable
from typing import Any

import pytest

from orchestrator.faults.injector import POLL_S, FaultInjector, NodeEnded
from orchestrator.faults.schedule import Target
from orchestrator.model.events import Event, FaultEvent, NoteEvent
from orchestrator.model.fault import Fault, FaultKind
from tests.support.builders import T0

TIMEOUT_S = 10.0


class Machines:
    """A cluster of containers: which there are, what was done to them, and what goes wrong."""

    def __init__(self, *nodes: Target) -> None:
        self.nodes = list(nodes)
        self.done: list[str] = []
        self.injected = threading.Event()
        self.broken: dict[str, Exception] = {}

    def targets(self) -> list[Target]:
        self._act("targets")
        return list(self.nodes)

    def inject(self, kind: FaultKind, node: str) -> None:
        self._act("inject")
        self.done.append(f"{kind} {node}")
        self.injected.set()
        if kind in ("kill", "spot"):
            self.nodes = [target for target in self.nodes if target.node != node]

    def recover(self, kind: FaultKind, node: str) -> None:
        self._act("recover")
        self.done.append(f"recover {kind} {node}")

    def _act(self, what: str) -> None:
        if what in self.broken:
            raise self.broken[what]


A, B = Target("a", "x86", "x86_64", tasks=2), Target("b", "arm", "arm64")


class Lab:
    """An injector whose time a test moves; `at` lets it look at a second after the submission."""

    def __init__(self, *faults: str, nodes: tuple[Target, ...] = (A, B), emit: Callable[[Event], None] | None = None):
        self.now = 0.0
        self.events: list[Event] = []
        self.machines = Machines(*nodes)
        self.injector = FaultInjector(
            [Fault.model_validate(fault) for fault in faults],
            0,
            self.machines,
            emit or self.events.append,
            clock=lambda: T0 + self.now,
        )
        self.injector.begin(T0)

    def at(self, second: float) -> float:
        self.now = second
        return self.injector.step()

    def notes(self) -> list[tuple[str, str]]:
        return [(event.kind, event.text) for event in self.events if isinstance(event, NoteEvent)]

    def faults(self) -> list[dict[str, Any]]:
        return [event.model_dump(exclude_defaults=True) for event in self.events if isinstance(event, FaultEvent)]


def test_a_node_is_killed_at_its_time() -> None:
    lab = Lab("kill@20:x86")

    assert lab.at(0) == 20
    assert lab.machines.done == []
    lab.at(20.25)
    assert lab.machines.done == ["kill a"]
    assert lab.faults() == [
        {
            "t": T0 + 20.25,
            "kind": "kill",
            "node": "a",
            "node_type": "x86",
            "arch": "x86_64",
            "detail": "kill@20:x86",
            "tasks": 2,
        }
    ]


def test_a_pause_begins_and_ends() -> None:
    lab = Lab("pause@20+15:arm")

    assert lab.at(20) == 15
    assert lab.at(34) == 1
    lab.at(35.5)
    assert lab.machines.done == ["pause b", "recover pause b"]
    begin, end = lab.faults()
    assert (begin["t"], begin["until"]) == (T0 + 20, T0 + 35)
    assert (end["t"], end["stage"], end["since"], end["node"]) == (T0 + 35.5, "end", T0 + 20, "b")
    assert "until" not in end


def test_a_fault_without_a_duration_is_undone_when_the_workload_has_ended() -> None:
    lab = Lab("partition@20:arm")
    lab.at(20)
    lab.at(5000)
    assert lab.machines.done == ["partition b"]

    lab.injector.stop()
    assert lab.machines.done == ["partition b", "recover partition b"]
    assert lab.faults()[-1]["stage"] == "end"
    assert lab.notes() == []


def test_a_node_under_one_fault_is_left_alone_by_others() -> None:
    lab = Lab("pause@20+100", "kill@30", nodes=(A,))
    lab.at(20)
    lab.at(30)
    assert lab.machines.done == ["pause a"]

    lab.at(120)
    assert lab.machines.done == ["pause a", "recover pause a", "kill a"]


def test_a_fault_waits_for_a_node_and_looks_often() -> None:
    lab = Lab("kill@20:arm", nodes=(A,))
    assert lab.at(20) == POLL_S

    lab.machines.nodes.append(B)
    lab.at(28)
    assert lab.machines.done == ["kill b"]


def test_spot_interruptions_look_out_for_new_nodes() -> None:
    lab = Lab("spot@3600/h")
    assert lab.at(0) <= POLL_S
    lab.at(1000)
    assert sorted(lab.machines.done) == ["spot a", "spot b"]

    lab.machines.nodes.append(Target("c", "x86"))
    lab.at(1001)
    lab.at(2000)
    assert "spot c" in lab.machines.done


def test_a_fault_that_found_no_node_is_noted_at_the_end() -> None:
    lab = Lab("kill@20:gpu", "kill@90")
    lab.at(20)
    lab.now = 44
    lab.injector.stop()

    assert [kind for kind, _ in lab.notes()] == ["fault_missed", "fault_missed"]
    assert "kill@20:gpu" in lab.notes()[0][1]


# What goes wrong


def test_a_fault_that_can_not_be_injected_is_a_note_and_no_fault() -> None:
    lab = Lab("kill@20:x86")
    lab.machines.broken["inject"] = RuntimeError("no such\ncontainer")
    lab.at(20)
    lab.at(21)

    assert lab.notes() == [("fault_failed", "kill@20:x86 on a: no such container")]
    assert lab.faults() == []


def test_a_node_that_ended_by_itself_meanwhile_is_spared_and_another_one_hit() -> None:
    lab = Lab("kill@20")
    lab.machines.broken["inject"] = NodeEnded()
    assert lab.at(20) == POLL_S
    lab.machines.broken.clear()
    lab.at(20.5)

    assert lab.notes() == []
    assert len(lab.machines.done) == len(lab.faults()) == 1


def test_a_pause_that_failed_half_way_is_undone() -> None:
    lab = Lab("pause@20+5:x86")
    lab.machines.broken["inject"] = RuntimeError("timed out")
    lab.at(20)

    assert lab.machines.done == ["recover pause a"]


def test_what_can_not_be_undone_is_a_note() -> None:
    lab = Lab("pause@20+5:x86")
    lab.at(20)
    lab.machines.broken["recover"] = RuntimeError("the engine is gone")
    lab.at(25)
    lab.injector.stop()

    assert lab.notes() == [("fault_failed", "pause@20+5:x86 on a couldn't be undone: the engine is gone")]
    assert len(lab.faults()) == 1


def test_an_engine_that_is_away_is_noted_once_and_asked_again() -> None:
    lab = Lab("kill@20:x86")
    lab.machines.broken["targets"] = ConnectionError("refused")
    assert [lab.at(20), lab.at(21)] == [POLL_S, POLL_S]
    assert lab.notes() == [("fault_failed", "the nodes can't be listed: refused")]

    lab.machines.broken.clear()
    lab.at(22)
    assert lab.machines.done == ["kill a"]


def test_a_trace_that_can_not_be_written_is_not_the_injectors_business() -> None:
    def full(_event: Event) -> None:
        raise OSError("no space left on device")

    lab = Lab("pause@20:x86", emit=full)
    lab.at(20)
    lab.injector.stop()

    assert lab.machines.done == ["pause a", "recover pause a"]


# The thread


def real(*faults: str, machines: Machines, events: list[Event]) -> FaultInjector:
    return FaultInjector(
        [Fault.model_validate(fault) for fault in faults], 0, machines, events.append, clock=lambda: T0
    )


def test_the_thread_strikes_by_itself_and_stop_undoes_it() -> None:
    machines, events = Machines(A), list[Event]()
    injector = real("pause@0", machines=machines, events=events)
    injector.start(T0)
    assert machines.injected.wait(TIMEOUT_S)
    injector.stop()
    injector.stop()

    assert machines.done == ["pause a", "recover pause a"]
    assert not any(thread.name == "orchestrate-faults" for thread in threading.enumerate())


def test_stop_does_not_wait_for_faults_to_come() -> None:
    injector = real("kill@86400", machines=Machines(A), events=[])
    injector.start(T0)
    injector.stop()

    assert not any(thread.name == "orchestrate-faults" for thread in threading.enumerate())


@pytest.mark.parametrize("started", [False, True])
def test_a_workload_without_faults_has_no_thread(started: bool) -> None:
    machines, events = Machines(A), list[Event]()
    injector = real(machines=machines, events=events)
    if started:
        injector.start(T0)
    injector.stop()

    assert (machines.done, events) == ([], [])
    assert not any(thread.name == "orchestrate-faults" for thread in threading.enumerate())


def test_a_trial_that_breaks_off_before_its_submission_has_nothing_to_undo() -> None:
    machines, events = Machines(A), list[Event]()
    injector = real("kill@0", machines=machines, events=events)
    injector.stop()
    injector.start(T0)  # the submission is heard of when the trial has been given up

    assert (machines.done, events) == ([], [])
    assert not any(thread.name == "orchestrate-faults" for thread in threading.enumerate())
