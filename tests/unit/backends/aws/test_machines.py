"""EC2's account of instances as entries of a journal."""

from typing import Any

from orchestrator.backends.aws.machines import MachineJournal

SPOT = "Server.SpotInstanceTermination: Spot instance termination"


def instance(name: str, state: str, *, reason: str = "", kind: str = "worker") -> dict[str, Any]:
    tags = [{"Key": "ray-node-type", "Value": kind}, {"Key": "ray-user-node-type", "Value": "x86"}]
    found: dict[str, Any] = {"InstanceId": name, "State": {"Name": state}, "Tags": tags}
    return {**found, "StateReason": {"Message": reason}} if reason else found


def told(*looks: list[dict[str, Any]]) -> list[tuple[float, str, str]]:
    """Time, event and stage or cause of the entries that successive looks add."""
    journal = MachineJournal()
    entries = [entry for t, look in enumerate(looks) for entry in journal.see(look, float(t))]
    return [(entry["t"], entry["event"], entry.get("stage") or entry.get("cause") or "") for entry in entries]


def test_a_life_from_pending_to_terminated() -> None:
    states = ("pending", "pending", "running", "running", "shutting-down", "terminated", "terminated")

    assert told(*([instance("i-1", state)] for state in states)) == [
        (2.0, "stage", "machine"),
        (4.0, "terminating", ""),
        (5.0, "terminated", ""),
    ]


def test_a_machine_that_ec2_no_longer_lists_has_ended() -> None:
    assert told([instance("i-1", "running")], [])[-1] == (1.0, "terminated", "")


def test_a_spot_interruption_is_a_failure() -> None:
    looks = [[instance("i-1", "running")], [instance("i-1", "shutting-down", reason=SPOT)]]

    assert told(*looks)[1:] == [(1.0, "failed", "spot_interruption"), (1.0, "terminating", "")]


def test_machines_that_ended_before_the_first_look_are_no_news() -> None:
    assert told([instance("i-1", "terminated")]) == []


def test_a_late_look_does_not_say_when_a_machine_began_to_run() -> None:
    journal = MachineJournal()
    journal.see([instance("i-1", "pending"), instance("i-2", "running")], 0.0)
    late = journal.see([instance("i-1", "running"), instance("i-2", "terminated")], 60.0, late=True)

    assert [(entry["node"], entry["event"]) for entry in late] == [("i-2", "terminated")]
    assert journal.see([instance("i-1", "running")], 61.0) == []


def test_the_head_is_no_worker() -> None:
    assert told([instance("i-1", "running", kind="head")], []) == []


def test_a_stopped_machine_runs_no_more() -> None:
    assert [event for _, event, _ in told([instance("i-1", "running")], [instance("i-1", "stopped")])] == [
        "stage",
        "terminated",
    ]
